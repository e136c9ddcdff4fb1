import Foundation
import Testing

/// A server of a pair: its rpcwarden, and its rpcwarden-fleet.
struct FleetNode {
    /// The address that moves from one to the other.
    static let address = "10.77.8.100"

    let lab: Lab
    let host: Lab.Host

    var name: String { host.rawValue }
    private var daemon: String { "daemon-\(name)" }
    private var sidecar: String { "sidecar-\(name)" }
    private var file: String { "\(lab.state)/\(name)" }
    var configuration: String { "\(file).yaml" }
    var fleetConfiguration: String { "\(file)-fleet.yaml" }

    static let policy = """
        rules:
          - name: clients of the pair
            from: [10.77.8.0/24, 10.78.0.0/16]
            to: [\(Echo.programs.map(String.init).joined(separator: ", "))]
        """

    /// Starts rpcbind and rpcwarden.
    ///
    /// - Parameter isGateway: it has no rpcbind of its own.
    func serve(
        _ settings: String = "", fleet: String = "pair: {name: nas}", policy: String = policy, isGateway: Bool = false
    ) async throws {
        if !isGateway { try lab.control(host == .server ? ["rpcbind", "start"] : [name, "rpcbind", "start"]) }
        try lab.write(policy + "\n", to: "\(name)-policy.yaml")
        try lab.write(
            """
            policy: \(file)-policy.yaml
            audit: {to: file, file: \(file)-audit.jsonl}
            fleet: {\(fleet)}
            \(settings)

            """, to: "\(name).yaml")
        try await start()
    }

    func start() async throws {
        let before = try events("started").count
        try lab.spawn(host, daemon, [lab.binary, "serve", "--config", configuration])
        try await eventually("\(name) is ready") {
            guard try lab.isRunning(daemon) else { throw Unfulfilled(description: lab.log(daemon)) }
            return try events("started").count > before
        }
    }

    func stopDaemon(_ signal: String = "KILL") throws { try lab.kill(daemon, signal) }

    /// Where the daemon reads what the sidecar has fetched; each node has a folder of its own there.
    static let fetched = "/var/lib/rpcwarden-fleet"

    /// Starts rpcwarden-fleet; its state is that of this lab.
    func join(
        _ store: FleetStore, at endpoints: [String] = [], certificate: String? = nil, login: String? = nil,
        state: String? = nil,
        awaitsSync: Bool = true
    ) async throws {
        let identity = certificate.map { "  certificate: \($0).pem\n  key: \($0).key" } ?? ""
        let user = login.map { "  user: \($0)\n  password-file: \(store.folder)/\($0).password" } ?? ""
        let endpoints = endpoints.isEmpty ? [store.endpoint] : endpoints
        try lab.write(
            """
            fleet: lab
            node: \(name)
            etcd:
              endpoints: \(endpoints)
              ca: \(store.caPath)
            \(identity)
            \(user)
            state: \(state ?? "\(file)-state")

            """, to: "\(name)-fleet.yaml")
        try startSidecar()
        guard awaitsSync else { return }
        try await eventually("\(name) is in step", within: .seconds(30)) { try isSynced() }
    }

    func startSidecar() throws {
        try lab.spawn(host, sidecar, [Lab.sidecarPath, "serve", "--config", fleetConfiguration])
    }

    func stopSidecar(_ signal: String = "KILL") throws { try lab.kill(sidecar, signal) }
    var sidecarLog: String { lab.log(sidecar) }

    /// The resident memory of the sidecar.
    func sidecarKilobytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(try lab.pid(sidecar))/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }

    func isSynced() throws -> Bool { try fleet("status", "--synced").isSuccess }

    // MARK: Asking

    @discardableResult
    func rpcwarden(_ words: String...) throws -> Output {
        try lab.exec(host, [lab.binary] + words + ["--config", configuration])
    }

    @discardableResult
    func fleet(_ words: String...) throws -> Output {
        try lab.exec(host, [Lab.sidecarPath] + words + ["--config", fleetConfiguration])
    }

    func status() throws -> StatusReport {
        let output = try rpcwarden("status", "--json")
        guard output.isSuccess else { throw CommandError(command: ["status"], output: output) }
        return try JSONDecoder().decode(StatusReport.self, from: Data(output.text.utf8))
    }

    func grants() throws -> [GrantRow] {
        let output = try rpcwarden("grants", "--json")
        guard output.isSuccess else { throw CommandError(command: ["grants"], output: output) }
        return try JSONDecoder().decode([GrantRow].self, from: Data(output.text.utf8))
    }

    /// The events of this name so far.
    func events(_ kind: String) throws -> [AuditRecord] {
        guard let data = FileManager.default.contents(atPath: "\(file)-audit.jsonl") else { return [] }
        return try data.prefix(upTo: data.lastIndex(of: 0x0a) ?? data.startIndex).split(separator: 0x0a)
            .map { try JSONDecoder().decode(AuditRecord.self, from: Data($0)) }
            .filter { $0.event.rawValue == kind }
    }

    // MARK: The address, and a service

    /// This node serves the clients from now on.
    func takeAddress() throws {
        let output = try lab.exec(
            host, "sh", "-c",
            "ip address add \(Self.address)/24 dev ha0 && arping -q -c 1 -U -I ha0 \(Self.address) || true")
        try #require(output.isSuccess, "\(output)")
        // The clients' own caches hold the other node's link address.
        _ = try lab.exec(.approved, "ip", "neigh", "flush", "dev", "ha0")
    }

    /// The node is gone for its clients, as with a dead machine.
    func die() throws {
        _ = try lab.exec(host, "ip", "link", "set", "ha0", "down")
    }

    func startService(_ port: UInt16 = 4001) async throws { try await lab.start(service(port)) }

    func service(_ port: UInt16 = 4001) -> Echo {
        var echo = Echo(port: port)
        echo.host = host
        return echo
    }

    func stopService(_ port: UInt16 = 4001) throws {
        try lab.register(service(port), as: "unset")
        try lab.kill(service(port).name, "KILL")
    }

    /// Whether the kernel has the client's grant for the service.
    func opens(to client: String, port: UInt16 = 4001) throws -> Bool {
        let output = try lab.exec(host, "nft", "list", "set", "inet", "rpcwarden", "granted4")
        return output.text.contains("\(client) . tcp . \(port)")
    }
}

extension Lab {
    /// rpcwarden-fleet, beside the daemon's executable of this build.
    static var sidecarPath: String {
        ProcessInfo.processInfo.environment["RPCWARDEN_FLEET_BINARY"]
            ?? peerPath.replacingOccurrences(of: "labpeer", with: "rpcwarden-fleet")
    }

    /// Two servers, the server and the spare, on a segment with the approved client.
    func fleetNodes() throws -> (FleetNode, FleetNode) {
        try control("spare")
        _ = try exec(.spare, "ip", "route", "add", "10.78.0.0/16", "via", FleetStore.address)
        return (FleetNode(lab: self, host: .server), FleetNode(lab: self, host: .spare))
    }

    /// Two servers of a pair, in step with an etcd on a third host.
    ///
    /// - Parameter startsServices: whether each has the test's service.
    func fleetPair(startsServices: Bool = true) async throws -> (FleetNode, FleetNode, FleetStore) {
        let (first, second) = try fleetNodes()
        let store = FleetStore(lab: self)
        try await store.start()
        for node in [first, second] {
            try await node.serve()
            try await node.join(store)
            if startsServices { try await node.startService() }
        }
        return (first, second, store)
    }
}
