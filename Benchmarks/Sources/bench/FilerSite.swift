import Addresses
import Foundation

/// A router and, behind it, a stock NFS server: rpcbind and nfs-ganesha, without rpcwarden. The router is plain, or
/// rpcwarden is its gateway mode.
struct FilerSite {
    let router: Site

    /// The address that the gateway knows as the server's.
    static let address = "10.77.5.2"
    /// Another address of the same host, which the gateway doesn't know: a host that is no server.
    static let otherAddress = "10.77.5.9"

    static let name = "filer1"
    /// The services of datagrams and streams, which `load listen` registers; iperf3 itself listens for streams.
    static let datagrams = Service(program: Program(399_998), port: 5202)
    static let streaming = Service(program: Program(399_999), port: 5201)

    var bench: Bench { router.bench }
    var lab: Lab { router.lab }

    /// - Parameter suffix: of the lab's name.
    init(_ bench: Bench, _ suffix: String, isGuarded: Bool) throws {
        router = Site(
            bench: bench, lab: bench.lab(suffix), isGuarded: isGuarded, services: [Self.datagrams, Self.streaming],
            morePrograms: [.mountd])
        try lab.control("up")
        try lab.control("filer")
        try lab.control("filer", "rpcbind", "start")
        try lab.control("filer", "ganesha", "start")
        try bench.settle([try lab.pid("filer-rpcbind"), try lab.pid("filer-ganesha")])
        try startServices()
    }

    private func startServices() throws {
        let tool = "\(bench.tools)/load"
        try lab.write(hexadecimal(router.services.flatMap(\.registrations)), to: "registrations")
        try lab.spawn(
            "filer-services", on: "filer",
            [
                tool, "listen", "--to", "0.0.0.0", "--port", "\(Self.datagrams.port)", "--count", "1", "--socket",
                "/run/rpcbind.sock", "--messages", "\(lab.state)/registrations",
            ])
        try lab.awaitLine("ready", of: "filer-services")
        try lab.spawn("filer-iperf3", on: "filer", ["iperf3", "-s", "-p", "\(Self.streaming.port)"])
        try bench.settle([try lab.pid("filer-iperf3")])
    }

    /// Starts rpcwarden, if this router has it.
    /// - Parameter neighbours: names and addresses of other servers.
    func serve(liveness: String, neighbours: [(name: String, address: String)] = []) throws {
        guard router.isGuarded else { return }
        let servers = [(name: Self.name, address: Self.address)] + neighbours
        let list = servers.map { "{name: \($0.name), address: [\($0.address)], liveness: \(liveness)}" }
        let gateway = "gateway: {servers: [\(list.joined(separator: ", "))]}"
        try router.serve(Setting(more: gateway, at: "any-server"))
        // READY doesn't wait for a server's registry.
        try eventually("the gateway answers in the name of \(Self.name)") {
            try load(LoadRun(inFlight: 1, calls: 1), .getPort([.mountd])).accepted == 1
        }
    }

    func load(_ run: LoadRun, _ messages: Messages) throws -> Tally {
        var run = run
        run.to = Self.address
        return try bench.load(run, messages, from: lab)
    }

    /// The processes that do the work of an answer.
    func workers() throws -> [Int32] {
        try [lab.pid("filer-rpcbind")] + (router.isGuarded ? family(of: lab.pid("rpcwarden")) : [])
    }

    /// Opens the services' ports to the approved client, and the port of datagrams to `grants` clients in all.
    func grant(_ grants: Int) throws {
        for messages in [Messages.getPort([Self.streaming.program]), .getPort([Self.datagrams.program], .udp)] {
            try grant(LoadRun(inFlight: 1, calls: 1), messages)
        }
        let missing = grants - (try router.counts()["grants"] ?? 0)
        guard missing > 0 else { return }
        // As a client, who asks again for what is lost: a pause of the machine isn't a failure of the gateway.
        for _ in 0..<3 {
            _ = try load(
                LoadRun(calls: missing, sources: "10.78.0.1/\(missing)"), .getPort([Self.datagrams.program], .udp))
            guard try router.counts()["grants"] ?? 0 < grants else { return }
        }
        throw Unfulfilled(description: "fewer than \(grants) grants")
    }

    private func grant(_ run: LoadRun, _ messages: Messages) throws {
        let tally = try load(run, messages)
        guard tally.accepted == tally.sent, tally.empty == 0 else {
            throw Unfulfilled(description: "not all were served: \(tally)")
        }
    }

    func end() throws { try router.end() }
}
