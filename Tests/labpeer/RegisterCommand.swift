import Addresses
import Glibc
import ONCRPC
import Portmapper

/// `labpeer register`: many registrations over rpcbind's unix socket, on one connection.
struct RegisterCommand {
    static let usage = """
        labpeer register --unix PATH --program FIRST --count N [--address-bytes B] [--wait MS]
        """

    private let path: String
    private let first: UInt32
    private let count: Int
    private let addressBytes: Int
    private let wait: Duration

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list, options: ["--unix", "--program", "--count", "--address-bytes", "--wait"])
        guard let path = arguments.text("--unix"), let first: UInt32 = try arguments.number("--program"),
            let count: Int = try arguments.number("--count")
        else { throw UsageError("--unix, --program and --count are needed") }
        (self.path, self.first, self.count) = (path, first, count)
        addressBytes = try arguments.number("--address-bytes") ?? 0
        wait = .milliseconds(try arguments.number("--wait") ?? 30_000)
    }

    func run() throws(SystemError) -> Int32 {
        let socket = try Socket(connectedTo: path)
        let deadline = ContinuousClock.now + wait
        var reader = RecordReader(recordBytesMax: 1 << 16)
        for number in 0..<count {
            let port = UInt32(10_000 + number % 40_000)
            let address =
                addressBytes > 0 ? String(repeating: "x", count: addressBytes) : "0.0.0.0.\(port >> 8).\(port & 255)"
            let rpcb = RPCB(
                program: Program(first + UInt32(number)), version: 1, netID: "tcp", address: address, owner: "x")
            try send(framed(PortmapperCall.set(.v4, rpcb).encoded(xid: UInt32(number + 1))), to: socket, deadline)
            var isAnswered = false
            while !isAnswered {
                guard case .bytes(let bytes) = try socket.read(until: deadline) else {
                    say("stopped at \(number)")
                    return 1
                }
                isAnswered = !bytes.withUnsafeBytes { reader.feed($0) }.isEmpty
            }
        }
        say("registered \(count)")
        return 0
    }

    private func send(
        _ bytes: [UInt8], to socket: Socket, _ deadline: ContinuousClock.Instant
    ) throws(SystemError) {
        guard socket.wait(for: POLLOUT, until: deadline) else { throw SystemError("send", code: ETIMEDOUT) }
        try socket.send(bytes)
    }
}
