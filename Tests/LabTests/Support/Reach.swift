import Addresses
import Portmapper
import Testing

/// One service over both transports and both families, and the hosts that can reach it.
struct Reach {
    let lab: Lab
    let echoes: [Echo]

    /// Starts the service at a port that docs/COEXISTENCE.md names.
    init(in lab: Lab, port: UInt16 = 20_048) async throws {
        self.lab = lab
        echoes = [Transport.tcp, .udp].flatMap { transport in
            [true, false].map { Echo(port: port, transport: transport, isIPv4: $0) }
        }
        for echo in echoes { try await lab.start(echo, isRegistered: false) }
        for echo in echoes { try lab.register(echo) }
        try await eventually("both transports are guarded") {
            try Set(lab.elements(of: "guarded")).isSuperset(of: ["tcp . \(port)", "udp . \(port)"])
        }
    }

    /// The approved client looks up all netids; returns the lookups that were answered with the port.
    func lookedUp() throws -> [String] {
        let asks = echoes.map { echo in
            let rpcb = RPCB(
                program: Program(echo.program), version: 1, netID: echo.netID.rawValue, address: "", owner: "")
            return Ask(
                echo.isIPv4 ? echo.getPort : .getAddress(.v4, rpcb), to: echo.isIPv4 ? "10.77.1.1" : "fd77:1::1",
                over: echo.transport)
        }
        let answers = try lab.ask(.approved, asks, options: "--wait 5000")
        return zip(echoes, zip(asks, answers)).compactMap { echo, exchange in
            switch exchange.1.result(of: exchange.0.call) {
            case .port(UInt32(echo.port)): echo.name
            case .address(let address) where UniversalAddress(address)?.port == echo.port: echo.name
            default: nil
            }
        }
    }

    /// The netids at which the host's connect, or datagram, is answered.
    func reached(from host: Lab.Host = .approved, within milliseconds: Int = 5000) throws -> [String] {
        let number = host == .stranger ? 4 : 1
        let outputs = try lab.peers(
            host,
            echoes.map { echo in
                "connect --to \(echo.isIPv4 ? "10.77.\(number).1" : "fd77:\(number)::1") --port \(echo.port)"
                    + " --over \(echo.transport) --wait \(milliseconds) \(echo.transport == .udp ? "--send ping" : "")"
            })
        return zip(echoes, outputs).compactMap { echo, output in
            output.text.hasPrefix("connected") || output.text.hasPrefix("reply") ? echo.name : nil
        }
    }

    /// The host reaches none of them.
    func isClosed(to host: Lab.Host = .approved) throws -> Bool { try reached(from: host, within: 250).isEmpty }

    var everywhere: [String] { echoes.map(\.name) }

    /// The approved client is answered and reaches the service; the stranger does not reach it.
    func expectOnlyApproved(_ when: Comment) throws {
        #expect(try lookedUp() == everywhere, when)
        #expect(try reached() == everywhere, when)
        #expect(try isClosed(to: .stranger), when)
    }
}
