import ArgumentParser
import Bundles
import Console
import PolicyFile
import Signatures

struct Publish: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publish a signed policy to the nodes of a group.",
        discussion: """
            Refuses what no node could take: a bundle that can't be read, that is of another fleet or group, whose \
            policy has errors, whose serial isn't above the one in force, and with --keys one that isn't signed by \
            one of them. Exits 1 if the serial is too low, or another publisher came first.
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: ArgumentHelp("The group of nodes.", valueName: "name"))
    var group: String

    @Option(help: ArgumentHelp("Public keys, as minisign -G makes them.", valueName: "file"), completion: .file())
    var keys: String?

    @Argument(
        help: ArgumentHelp("The bundle, as rpcwarden policy sign writes it.", valueName: "bundle"), completion: .file())
    var bundle: String

    func run() throws {
        let bytes = try read(bundle, max: PolicyBundle.bytesMax)
        let signed = try attempt { try SignedBundle(bytes) }
        if let keys {
            let known = try read(keys, max: 65_536)
            try attempt {
                try Signature(
                    text: signed.signature, trustedComment: signed.trustedComment,
                    commentSignature: signed.commentSignature
                ).verify(signed.container, by: try PublicKey.keys(inFile: known))
            }
        }
        let policy = try attempt { try PolicyBundle(container: signed.container) }
        try check(policy)
        let progress = Progress("group \(group): asking the store")
        defer { progress.end() }
        try StoreConnection.with(configuration) { store in
            guard policy.fleet == store.fleet, policy.group == group else {
                throw CommandFailure.usage(
                    "\(bundle) is of fleet \(policy.fleet), group \(policy.group); not of fleet \(store.fleet), group \(group)"
                )
            }
            try PublishedPolicy(store: store, group: group, progress: progress).publish(policy, bytes)
        }
        progress.end()
        print("fleet \(policy.fleet), group \(group): serial \(policy.serial) is published")
    }

    /// The rules, as a node reads them; its ceiling is its own.
    private func check(_ policy: PolicyBundle) throws {
        let sources = policy.files.map { SourceFile(name: "\(bundle):\($0.name)", bytes: $0.bytes) }
        let parsed = ParsedPolicy(sources, names: PolicyLoader().programNames)
        for diagnostic in parsed.diagnostics { writeError(diagnostic.description) }
        guard !parsed.diagnostics.hasErrors else { throw CommandFailure(message: nil, code: ExitStatus.usage) }
    }

    private func read(_ path: String, max: Int) throws -> [UInt8] {
        do throws(InputError) {
            return try InputFile(path: path).readAll(max: max)
        } catch {
            throw CommandFailure.usage("can't read \(error.message)")
        }
    }

    @discardableResult
    private func attempt<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            throw CommandFailure.usage("\(bundle): \(error)")
        }
    }
}
