import Addresses
import Glibc
import ONCRPC
import Portmapper

/// `labpeer flood`: DUMP calls over UDP, or TCP SYNs without a follow-up, as fast as possible, from many
/// addresses.
struct FloodCommand: Sendable {
    static let usage = """
        labpeer flood --to ADDR [--port 111] --over udp|tcp --sources FIRST-ADDR/N --seconds S [--parallel K]
                      [--rate PER-SECOND]
        """

    private let peer: Endpoint
    private let transport: Transport
    private let sources: (first: IPAddress, count: Int)
    private let seconds: Int
    private let workers: Int
    private let rate: Int?

    /// More sockets would not increase the flood.
    private static let socketsMax = 512

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list,
            options: ["--to", "--port", "--over", "--sources", "--seconds", "--parallel", "--rate", "--interface"])
        guard arguments.words.isEmpty else { throw UsageError("unexpected \(arguments.words[0])") }
        peer = try arguments.peer(defaultPort: 111)
        transport = try arguments.transport("--over")
        guard let sources = try arguments.sources() else {
            throw UsageError("--sources is missing")
        }
        self.sources = sources
        seconds = try arguments.number("--seconds") ?? 1
        workers = max(1, try arguments.number("--parallel") ?? 1)
        rate = try arguments.number("--rate")
        guard transport == .udp || peer.address.isIPv4 else { throw UsageError("SYNs are made for IPv4 alone") }
    }

    func run() -> Int32 {
        let started = ContinuousClock.now
        let counts = inParallel(workers) { worker in
            do throws(SystemError) {
                return transport == .udp ? try sendCalls(worker) : try sendSYNs(worker)
            } catch {
                say("failed: \(error.text)")
                return 0
            }
        }
        let sent = counts.reduce(0, +)
        let microseconds = max(1, (ContinuousClock.now - started).microseconds)
        say("sent=\(sent) per-second=\(sent * 1_000_000 / Int(microseconds))")
        return sent > 0 ? 0 : 1
    }

    private func sendCalls(_ worker: Int) throws(SystemError) -> Int {
        var sockets: [Socket] = []
        for index in stride(from: worker, to: min(sources.count, Self.socketsMax * workers), by: workers) {
            let socket = try Socket(.udp, isIPv4: peer.address.isIPv4)
            try socket.bind(to: Endpoint(sources.first.advanced(by: index), 0))
            _ = try socket.beginConnect(to: peer)
            sockets.append(socket)
        }
        let message = PortmapperCall.dump(.v2).encoded(xid: 1)
        return paced { number in
            // A full send queue is expected in a flood.
            _ = Glibc.send(sockets[number % sockets.count].descriptor, message, message.count, 0)
        }
    }

    private func sendSYNs(_ worker: Int) throws(SystemError) -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_RAW))
        guard descriptor >= 0 else { throw SystemError("socket") }
        defer { close(descriptor) }
        return paced { number in
            let index = (number &* workers &+ worker) % sources.count
            let packet = syn(from: sources.first.advanced(by: index), port: UInt16(truncatingIfNeeded: 1024 + number))
            _ = peer.withSocketAddress { sendto(descriptor, packet, packet.count, 0, $0, $1) }
        }
    }

    /// An IPv4 packet of a TCP SYN (RFC 791, RFC 9293); the kernel fills in length and checksum of the IPv4 header.
    private func syn(from source: IPAddress, port: UInt16) -> [UInt8] {
        guard case .v4(let from) = source, case .v4(let to) = peer.address else { return [] }
        var tcp: [UInt16] = [
            port, peer.port, UInt16.random(in: 0...UInt16.max), port, 0, 0, 0x5002, 64_240, 0, 0,
        ]
        let pseudo = [UInt16(from >> 16), UInt16(from & 0xffff), UInt16(to >> 16), UInt16(to & 0xffff), 6, 20]
        var sum = (tcp + pseudo).reduce(UInt32(0)) { $0 + UInt32($1) }
        while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
        tcp[8] = ~UInt16(sum)
        let ip: [UInt16] = [
            0x4500, 40, port, 0, 0x4006, 0, UInt16(from >> 16), UInt16(from & 0xffff), UInt16(to >> 16),
            UInt16(to & 0xffff),
        ]
        return (ip + tcp).flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
    }

    /// Calls `send` until the time is up, in batches that keep to the rate.
    private func paced(_ send: (Int) -> Void) -> Int {
        let started = ContinuousClock.now
        let end = started + .seconds(seconds)
        let share = rate.map { max(1, $0 / workers) }
        var sent = 0
        while ContinuousClock.now < end {
            for _ in 0..<64 {
                send(sent)
                sent += 1
            }
            if let share {
                let due = started + .microseconds(sent * 1_000_000 / share)
                let early = due - .now
                if early > .zero { usleep(UInt32(clamping: early.microseconds)) }
            }
        }
        return sent
    }
}
