import Addresses
import Glibc
import ONCRPC

/// `labpeer connect`: whether a service's port can be reached.
struct ConnectCommand {
    static let usage = """
        labpeer connect --to ADDR --port N --over tcp|udp [--from ADDR] [--wait MS] [--interface NAME]
                        [--send TEXT [--repeat N] [--every MS]] [--program P --version V]
        """

    private let peer: Endpoint
    private let transport: Transport
    private let source: IPAddress?
    private let wait: Duration
    private let text: String?
    private let rounds: Int
    private let pause: Duration
    private let null: Procedure

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list,
            options: [
                "--to", "--port", "--over", "--from", "--wait", "--interface", "--send", "--repeat", "--every",
                "--program", "--version",
            ])
        guard arguments.words.isEmpty else { throw UsageError("unexpected \(arguments.words[0])") }
        peer = try arguments.peer()
        transport = try arguments.transport("--over")
        source = try arguments.address("--from")
        wait = try arguments.wait()
        text = arguments.text("--send")
        rounds = try arguments.number("--repeat") ?? 1
        pause = .milliseconds(try arguments.number("--every") ?? 200)
        null = .bare(
            CallHeader(
                xid: 0, program: try arguments.number("--program") ?? Program.portmapper.rawValue,
                version: try arguments.number("--version") ?? 2, procedure: 0))
    }

    func run() throws(SystemError) -> Int32 {
        let socket = try Socket(transport, isIPv4: peer.address.isIPv4)
        if let source { try socket.bind(to: Endpoint(source, 0, interface: peer.interface)) }
        let outcome = try socket.connect(to: peer, until: .now + wait)
        if transport == .udp, rounds == 1 { return try ask(socket) }
        say("\(outcome)")
        guard outcome == .connected else { return 1 }
        guard let text else { return 0 }
        return try talk(socket, Array(text.utf8))
    }

    /// UDP: sends a NULL call, or the text; the socket is connected, so that a refusal is reported.
    private func ask(_ socket: Socket) throws(SystemError) -> Int32 {
        try socket.send(text.map { Array($0.utf8) } ?? null.encoded(xid: UInt32.random(in: 1...UInt32.max)))
        switch try socket.read(until: .now + wait) {
        case .bytes(let bytes):
            say("reply bytes=\(bytes.count)")
            return 0
        case .refused: say("refused")
        case .closed, .nothing: say("silence")
        }
        return 1
    }

    /// Sends the text in each round, and prints the bytes received before the next round.
    private func talk(_ socket: Socket, _ bytes: [UInt8]) throws(SystemError) -> Int32 {
        var heard: Int32 = 1
        for round in 0..<rounds {
            if round > 0 { usleep(UInt32(clamping: pause.microseconds)) }
            do {
                try socket.send(bytes)
            } catch {
                say("closed")
                return 1
            }
            switch try socket.read(until: .now + wait) {
            case .bytes(let bytes):
                say("received bytes=\(bytes.count)")
                heard = 0
            case .closed, .refused:
                say("closed")
                return 1
            case .nothing:
                say("silence")
                heard = 1
            }
        }
        return heard
    }
}
