import Addresses
import ArgumentParser
import Bundles
import Clock
import Console
import Fleet
import Glibc
import System

struct Order: SubcommandGroup {
    static let configuration = CommandConfiguration(
        abstract: "Sign an order to every node of the fleet, and publish it.",
        subcommands: [RevokeEverywhere.self, ReleaseEverywhere.self])
}

struct RevokeEverywhere: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "End a client's grants, and their established flows, at every node.")

    @OptionGroup var order: OrderOptions

    func run() throws { try order.give(.revoke) }
}

struct ReleaseEverywhere: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Lift a client's quarantine at every node.")

    @OptionGroup var order: OrderOptions

    func run() throws { try order.give(.release) }
}

struct OrderOptions: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOption

    @Option(help: ArgumentHelp("The client's IPv4 or IPv6 address.", valueName: "addr"))
    var client: String

    @Option(help: ArgumentHelp("A secret key, as minisign -G makes it.", valueName: "file"), completion: .file())
    var key: String

    @Option(help: ArgumentHelp("The name of the fleet (default: that of the configuration).", valueName: "name"))
    var fleet: String?

    @Flag(name: .customLong("print"), help: "Write the order to stdout, and publish nothing.")
    var printsOnly = false

    private static let lease = FleetOrder.ageMax.components.seconds

    func give(_ action: FleetOrder.Action) throws {
        guard let client = IPAddress(client) else {
            throw CommandFailure.usage("--client: \"\(client)\" is no address; give an IPv4 or IPv6 address")
        }
        if let fleet, !PolicyBundle.isName(fleet) {
            throw CommandFailure.usage("--fleet: \"\(fleet)\" is no name of a fleet: use \(PolicyBundle.nameRule)")
        }
        if printsOnly, let fleet {
            return print(
                String(decoding: try signed(action, client, fleet: fleet).bytes, as: UTF8.self), terminator: "")
        }
        try StoreConnection.with(configuration, fleet: fleet) { store in
            let (id, bytes) = try signed(action, client, fleet: store.fleet)
            guard !printsOnly else { return print(String(decoding: bytes, as: UTF8.self), terminator: "") }
            // Of one publisher: who may write orders may write others' too, so nothing is compared.
            let lease = try store.client.grantLease(seconds: Self.lease).wait()
            let key = store.bytes(.order(id: id))
            _ = try store.client.transact([], [.put(key: key, value: bytes, lease: lease.id)]).wait()
            print("order \(id) of fleet \(store.fleet): \(action.rawValue) \(client)")
        }
    }

    private func signed(
        _ action: FleetOrder.Action, _ client: IPAddress, fleet: String
    ) throws -> (id: String, bytes: [UInt8]) {
        let now = HostClock.wallClock()
        let stamp = now.description.filter { $0 != "-" && $0 != ":" }
        // Eight digits.
        let id = "\(stamp)-\(String(UInt32.random(in: 0x1000_0000 ... .max), radix: 16))"
        let order = FleetOrder(fleet: fleet, id: id, created: now, action: action, client: client)
        let comment = "fleet \(fleet), \(action.rawValue) \(client)"
        let signature = try SecretKeyFile(path: key).read().sign(order.container, trustedComment: comment)
        return (
            id,
            SignedBundle.bytes(
                signature: signature.text, trustedComment: signature.trustedComment,
                commentSignature: signature.commentSignature, order.container, what: "an order")
        )
    }
}
