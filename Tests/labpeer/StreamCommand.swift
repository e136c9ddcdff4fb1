import Addresses
import Glibc

/// `labpeer stream`: raw bytes over one connection, in pieces of any size, and the bytes received.
struct StreamCommand {
    static let usage = """
        labpeer stream --to ADDR [--port 111] [--from ADDR] [--interface NAME] --hex BYTES
                       [--pieces BYTES] [--every MS] [--wait MS] [--end]
                       --end: says behind the bytes that no more are to come
        """

    private let peer: Endpoint
    private let source: IPAddress?
    private let bytes: [UInt8]
    private let pieceBytes: Int
    private let pause: Duration
    private let wait: Duration
    private let ends: Bool

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list, options: ["--to", "--port", "--from", "--interface", "--hex", "--pieces", "--every", "--wait"],
            flags: ["--end"])
        guard arguments.words.isEmpty else { throw UsageError("unexpected \(arguments.words[0])") }
        peer = try arguments.peer(defaultPort: 111)
        source = try arguments.address("--from")
        guard let bytes = try arguments.bytes("--hex") else { throw UsageError("--hex BYTES is missing") }
        self.bytes = bytes
        pieceBytes = max(1, try arguments.number("--pieces") ?? bytes.count)
        pause = .milliseconds(try arguments.number("--every") ?? 1)
        wait = try arguments.wait()
        ends = arguments.has("--end")
    }

    func run() throws(SystemError) -> Int32 {
        let socket = try Socket(.tcp, isIPv4: peer.address.isIPv4)
        if let source { try socket.bind(to: Endpoint(source, 0, interface: peer.interface)) }
        try socket.set(Int32(IPPROTO_TCP), TCP_NODELAY)
        let outcome = try socket.connect(to: peer, until: .now + wait)
        guard outcome == .connected else {
            say("\(outcome)")
            return 1
        }
        let started = ContinuousClock.now
        var rest = bytes[...]
        while !rest.isEmpty {
            // Bytes and the close received meanwhile are read below.
            do { try socket.send(Array(rest.prefix(pieceBytes))) } catch { break }
            rest = rest.dropFirst(pieceBytes)
            if !rest.isEmpty { usleep(UInt32(clamping: pause.microseconds)) }
        }
        if ends { try socket.endSending() }
        return try listen(to: socket, since: started)
    }

    /// Reads until the peer closes, or sends nothing for the wait.
    private func listen(to socket: Socket, since started: ContinuousClock.Instant) throws(SystemError) -> Int32 {
        var received: [UInt8] = []
        while true {
            switch try socket.read(until: .now + wait) {
            case .bytes(let bytes):
                received += bytes
                continue
            case .closed, .refused:
                say("closed after-ms=\((ContinuousClock.now - started).microseconds / 1000) bytes=\(received.count)")
            case .nothing: say("open bytes=\(received.count)")
            }
            say("shown \(hex(received))")
            return received.isEmpty ? 1 : 0
        }
    }
}
