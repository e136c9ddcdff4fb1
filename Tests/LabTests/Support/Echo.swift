import Addresses
import Portmapper
import Testing

/// A service of the test: `labpeer listen` in the server, registered by root.
struct Echo {
    static let programs: [UInt32] = [0x2000_0001, 0x2000_0002]

    var program: UInt32 = programs[0]
    var port: UInt16 = 4001
    var transport: Transport = .tcp
    var isIPv4 = true
    /// The server, or the filer behind it.
    var host = Lab.Host.server

    var name: String {
        "echo-\(transport)-\(port)-\(isIPv4 ? 4 : 6)\(host == .server ? "" : "-\(host)")"
    }
    /// Where clients ask for it and use it.
    var server: String {
        switch host {
        case .filer: isIPv4 ? "10.77.5.2" : "fd77:5::2"
        default: isIPv4 ? "10.77.1.1" : "fd77:1::1"
        }
    }
    /// Its element in the set of guarded ports.
    var guarded: String { (host == .filer ? "\(server) . " : "") + "\(transport) . \(port)" }
    var guardedSet: String { host == .filer ? "guarded_at\(isIPv4 ? 4 : 6)" : "guarded" }
    var netID: NetID { NetID(transport, isIPv4: isIPv4) }
    var address: String { "\(UniversalAddress(host: isIPv4 ? .v4(0) : .v6(0), port: port))" }
    var getPort: PortmapperCall {
        .getPort(
            Mapping(
                program: Program(program), version: 1, protocolNumber: UInt32(transport.rawValue), port: 0))
    }
}

extension Lab {
    /// Starts the service, registers it, and waits until rpcwarden, if it runs, guards its port.
    func start(_ echo: Echo, isRegistered: Bool = true) async throws {
        let any = echo.isIPv4 ? "0.0.0.0" : "::"
        // A server behind a gateway is asked by calls whether the service lives.
        try spawnPeer(
            echo.host, echo.name,
            "listen --at \(any) --port \(echo.port) --over \(echo.transport) --echo"
                + (echo.host == .filer ? " --answer" : ""))
        try await eventually("\(echo.name) listens") { log(echo.name).contains("listening") }
        if isRegistered { try register(echo) }
        guard isRegistered, try isRunning("daemon") else { return }
        try await eventually("\(echo.name) is guarded") { try isGuarded(echo) }
    }

    func isGuarded(_ echo: Echo) throws -> Bool { try elements(of: echo.guardedSet).contains(echo.guarded) }

    /// Registers the service as root.
    func register(_ echo: Echo, as procedure: String = "set") throws {
        let output = try peer(
            echo.host,
            "call --unix /run/rpcbind.sock v4 \(procedure)"
                + " \(echo.program) 1 \(echo.netID.rawValue) \(echo.address) superuser")
        guard output.text.contains("true") else {
            throw CommandError(command: ["register", echo.name], output: output)
        }
    }

    /// Looks the service up, as a client does before it connects.
    @discardableResult
    func lookUp(_ echo: Echo, from host: Host = .approved, to server: String? = nil, options: String = "") throws
        -> Answer
    {
        guard echo.isIPv4 else {
            let rpcb = RPCB(
                program: Program(echo.program), version: 1, netID: echo.netID.rawValue, address: "", owner: "")
            return try ask(
                host, .getAddress(.v4, rpcb), to: server ?? echo.server, over: echo.transport, options: options)
        }
        return try ask(host, echo.getPort, to: server ?? echo.server, over: .udp, options: options)
    }

    /// The outcome of a connect: `connected`, `timeout` or `refused`; over UDP `reply …`, `silence` or `refused`.
    func connect(
        _ echo: Echo, from host: Host = .approved, to server: String? = nil, options: String = "--wait 500"
    ) throws -> String {
        let server = server ?? echo.server
        let text = echo.transport == .udp ? "--send ping" : ""
        let output = try peer(
            host, "connect --to \(server) --port \(echo.port) --over \(echo.transport) \(text) \(options)")
        return output.lines.first ?? "\(output)"
    }
}
