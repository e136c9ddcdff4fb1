import ArgumentParser
import Bundles
import Clock
import Configuration
import Console
import Daemon
import Glibc
import PolicyFile
import Signatures
import System

struct PolicyBundles: SubcommandGroup {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Sign a policy for many hosts, or verify one.",
        subcommands: [SignPolicy.self, VerifyPolicy.self])
}

struct SignPolicy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign", abstract: "Write a folder's policy as a signed bundle to stdout.",
        discussion: """
            The key is one of minisign's; a password that it has is asked for at the terminal, or read from standard \
            input. Without --key the bundle is written unsigned, for minisign on another host to sign: minisign -Sm FILE \
            and then cat FILE.minisig FILE > nfs.bundle.
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Argument(
        help: ArgumentHelp("The folder; its *.yaml files make the policy.", valueName: "dir"), completion: .directory)
    var folder: String

    @Option(help: ArgumentHelp("A secret key, as minisign -G makes it.", valueName: "file"), completion: .file())
    var key: String?

    @Option(help: ArgumentHelp("Higher than that of any bundle of this group before.", valueName: "n"))
    var serial: UInt64

    @Option(help: ArgumentHelp("The name of the fleet.", valueName: "name"))
    var fleet = "default"

    @Option(help: ArgumentHelp("The group of hosts it is for (default: the folder's name).", valueName: "name"))
    var group: String?

    @Option(
        help: ArgumentHelp(
            "Until when the policy is right, as in 2027-11-30 or 2027-11-30T10:00:00Z (default: for good).",
            valueName: "time"))
    var notAfter: String?

    func run() throws {
        let bundle = PolicyBundle(
            fleet: fleet, group: try group ?? folderName(), serial: serial, created: now(), notAfter: try end(),
            files: try files())
        if let flaw = bundle.flaw { throw CommandFailure.usage("\(folder): no bundle: \(flaw)") }
        try check(bundle)
        guard let key else { return try write(bundle.container) }
        let comment = "fleet \(bundle.fleet), group \(bundle.group), serial \(bundle.serial)"
        let signature = try SecretKeyFile(path: key).read().sign(bundle.container, trustedComment: comment)
        try write(
            SignedBundle.bytes(
                signature: signature.text, trustedComment: signature.trustedComment,
                commentSignature: signature.commentSignature, bundle.container))
    }

    /// What no host could take isn't signed. The very bytes are read that are signed.
    private func check(_ bundle: PolicyBundle) throws {
        let loader = PolicyLoader()
        var servers: [String]?
        if let path = configuration.path {
            let load = loader.loadSettings(configurationPath: path)
            try load.diagnostics.report()
            servers = load.settings.serverNames
        }
        let policy = ParsedPolicy(
            bundle.files.map { SourceFile(name: "\(folder)/\($0.name)", bytes: $0.bytes) }, names: loader.programNames,
            servers: servers)
        try policy.diagnostics.report()
        guard policy.rules.count <= PolicyBundle.rulesMax else {
            throw CommandFailure.usage(
                "\(folder): \(policy.rules.count) rules are too many; use at most \(PolicyBundle.rulesMax)")
        }
    }

    private func files() throws -> [PolicyBundle.File] {
        do {
            var files: [PolicyBundle.File] = []
            for name in try InputFile.names(in: folder) {
                let path = "\(folder)/\(name)"
                if name.hasSuffix(".yml") { writeError(Diagnostic.misnamed(path).description) }
                guard name.hasSuffix(".yaml") else { continue }
                guard InputFile.isRegular(path) || !InputFile.exists(path) else {
                    throw CommandFailure.usage("\"\(path)\" is no file; move it out of the folder, or rename it")
                }
                let bytes = try InputFile(path: path).readAll(max: PolicyBundle.bytesMax)
                files.append(PolicyBundle.File(name: name, bytes: bytes))
            }
            return files
        } catch let error as InputError {
            throw CommandFailure.usage("can't read \(error.message); name a folder of policy files")
        }
    }

    private func folderName() throws -> String {
        guard let path = resolvedPath(folder) else {
            throw CommandFailure.usage("can't read \"\(folder)\": \(Errno()); name a folder of policy files")
        }
        return path.split(separator: "/").last.map(String.init) ?? ""
    }

    private func now() -> Timestamp { Timestamp(milliseconds: Int64(time(nil)) * 1000) }

    private func end() throws -> Timestamp? {
        guard let notAfter else { return nil }
        guard let end = Timestamp(notAfter) ?? Timestamp(notAfter + "T00:00:00Z") else {
            throw CommandFailure.usage(
                "--not-after: \"\(notAfter)\" is no time; write 2027-11-30, or 2027-11-30T10:00:00Z")
        }
        return end
    }

    private func write(_ bytes: [UInt8]) throws {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                Glibc.write(STDOUT_FILENO, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw CommandFailure.usage("can't write the bundle: \(Errno())") }
            written += count
        }
    }
}

struct VerifyPolicy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Verify a bundle as this host would, and tell what is in it.",
        discussion: """
            With a configuration that has fleet.policy, its group, keys and ceiling count, and the serial that was \
            accepted last; with --keys only the signature and the policy. Exits 0 if a host would take the bundle, 1 \
            if not, 2 if a file can't be read, or the keys are none.
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Option(
        help: ArgumentHelp("Public keys, as minisign -G makes them; instead of the configuration.", valueName: "file"),
        completion: .file())
    var keys: String?

    @Argument(help: ArgumentHelp("The bundle.", valueName: "file"), completion: .file())
    var bundle: String

    func run() throws {
        let load = PolicyLoader(after: keys == nil ? lastBundle() : nil)
            .verify(bundle: bundle, keys: keys, configurationPath: configuration.path)
        for diagnostic in load.diagnostics { writeError(diagnostic.description) }
        guard let accepted = load.bundle, !load.hasErrors else {
            let isKnown = load.bundleRefusal != nil && !load.hasUnreadableFile && !load.hasFaultyKeys
            throw CommandFailure(message: nil, code: isKnown ? ExitStatus.denied : ExitStatus.usage)
        }
        if let note = accepted.expiryNote { writeError(note) }
        let end = accepted.notAfter.map { "right until \($0)" } ?? "right for good"
        print(
            """
            fleet \(accepted.fleet), group \(accepted.group), serial \(accepted.serial)
            created \(accepted.created), \(end)
            signed by key \(load.bundleKey ?? "")
            \(load.rules.count == 1 ? "1 rule" : "\(load.rules.count) rules")
            """)
    }
}
