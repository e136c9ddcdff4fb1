import Addresses
import ArgumentParser
import Console
import Daemon
import PolicyFile

struct Explain: ParsableCommand {
    enum Procedure: String, ExpressibleByArgument, CaseIterable {
        case getport
        case dump
    }

    static let configuration = CommandConfiguration(
        abstract: "Show the policy's decision about a client and a program, and its reason.",
        discussion: "Needs no daemon. Exits 0 if permitted, 1 if denied.")

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: ArgumentHelp("The client's IPv4 or IPv6 address.", valueName: "addr"))
    var client: String

    @Option(
        help: ArgumentHelp("An RPC program: a name of /etc/rpc, or a number.", valueName: "name|number"),
        completion: .custom { _, _, _ in PolicyLoader().programNames.allNames.sorted() })
    var program: String?

    @Option(help: "The procedure that the client calls.")
    var procedure: Procedure = .getport

    @Option(
        help: ArgumentHelp(
            "The transport of the service; with --procedure dump, of the call.", valueName: "tcp|udp"),
        completion: .transport)
    var transport: String = "tcp"

    @Option(help: ArgumentHelp("A server behind this gateway; without it, this host.", valueName: "name"))
    var server: String?

    func run() throws {
        guard let address = IPAddress(client) else {
            throw CommandFailure.usage("not an address: \"\(client)\"; give an IPv4 or IPv6 address")
        }
        guard let transport = Transport(name: transport) else {
            throw CommandFailure.usage("not a transport: \"\(transport)\"; use tcp or udp")
        }
        let load = PolicyLoader(after: lastBundle()).load(configurationPath: configuration.path)
        if load.hasErrors { try load.diagnostics.report() }
        if let refusal = server.flatMap({ load.settings.refusal(ofServer: $0) }) { throw CommandFailure.usage(refusal) }
        // Another host's configuration says nothing about the addresses of this one.
        let own = configuration.path == nil ? ownAddresses() : []
        let explanation = Explanation(of: load, client: address, at: server, ownAddresses: own)
        let verdict: Explanation.Verdict
        switch procedure {
        case .dump: verdict = explanation.listing(over: transport)
        case .getport: verdict = explanation.lookup(try number(of: program, load), over: transport)
        }
        print(verdict.text)
        if !verdict.isPermitted { throw CommandFailure(message: nil, code: ExitStatus.denied) }
    }

    private func number(of name: String?, _ load: LoadResult) throws -> Program {
        guard let name else {
            throw CommandFailure.usage("--program is missing; name the program, as in --program nfs")
        }
        return try programNumber(name, load.programNames)
    }
}
