import Addresses
import Glibc
import ONCRPC
import Portmapper

/// `labpeer call`: one call, and every reply to it.
struct CallCommand {
    static let usage = """
        labpeer call --to ADDR [--port 111] --over udp|tcp | --unix PATH [--from ADDR] [--source-port N] [--xid N] [--wait MS]
                     [--interface NAME] [--broadcast] [--all] [--show] [--repeat N | --count N] --hex BYTES | PROCEDURE…
        """

    private let peer: Endpoint
    private let transport: Transport
    /// A unix socket in place of `--to`.
    private let path: String?
    private let source: Endpoint?
    private let wait: Duration
    private let isBroadcast: Bool
    /// Prints every reply until the wait is over or the peer closes, not only the first.
    private let wantsAll: Bool
    /// Prints each reply's bytes too.
    private let shows: Bool
    /// UDP: the number of datagrams, which are identical, or have increasing xids.
    private let copies: Int
    private let areAlike: Bool
    private let message: [UInt8]
    private let xid: UInt32
    private let call: PortmapperCall?

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list,
            options: [
                "--to", "--port", "--over", "--from", "--source-port", "--xid", "--wait", "--hex", "--interface",
                "--repeat", "--count", "--unix",
            ],
            flags: ["--broadcast", "--all", "--show"])
        path = arguments.text("--unix")
        peer = path == nil ? try arguments.peer(defaultPort: 111) : Endpoint(.v4(0x7f00_0001), 111)
        transport = path == nil ? try arguments.transport("--over") : .tcp
        wait = try arguments.wait(5000)
        isBroadcast = arguments.has("--broadcast")
        wantsAll = arguments.has("--all") || isBroadcast || peer.address.isMulticastOrBroadcast
        shows = arguments.has("--show")
        let alike: Int? = try arguments.number("--repeat")
        areAlike = alike != nil
        let counting: Int? = try arguments.number("--count")
        copies = alike ?? counting ?? 1
        let any = peer.address.isIPv4 ? IPAddress.v4(0) : .v6(0)
        let from = try arguments.address("--from")
        let port: UInt16? = try arguments.number("--source-port")
        source = from == nil && port == nil ? nil : Endpoint(from ?? any, port ?? 0, interface: peer.interface)
        if let bytes = try arguments.bytes("--hex") {
            guard arguments.words.isEmpty else { throw UsageError("--hex and a procedure exclude each other") }
            message = bytes
            (xid, call) = Self.decoded(bytes)
        } else {
            let procedure = try Procedure(words: arguments.words, server: peer, over: transport)
            xid = try arguments.number("--xid") ?? UInt32.random(in: 1...UInt32.max)
            message = procedure.encoded(xid: xid)
            if case .portmapper(let known) = procedure { call = known } else { call = nil }
        }
    }

    /// The bytes of `--hex`, decoded if they are a known call.
    private static func decoded(_ bytes: [UInt8]) -> (UInt32, PortmapperCall?) {
        bytes.withUnsafeBytes { raw in
            var decoder = XDRDecoder(raw)
            do {
                let header = try CallHeader(from: &decoder)
                return (header.xid, try? PortmapperCall(header, arguments: &decoder))
            } catch {
                var words = XDRDecoder(raw)
                return ((try? words.uint32()) ?? 0, nil)
            }
        }
    }

    func run() throws(SystemError) -> Int32 {
        if let path { return try overStream(try Socket(connectedTo: path), ContinuousClock.now + wait) }
        let socket = try Socket(transport, isIPv4: peer.address.isIPv4)
        if isBroadcast { try socket.set(SOL_SOCKET, SO_BROADCAST) }
        if peer.interface != 0, !peer.address.isIPv4, transport == .udp {
            try socket.set(Int32(IPPROTO_IPV6), IPV6_MULTICAST_IF, to: Int32(peer.interface))
        }
        if let source { try socket.bind(to: source) }
        let deadline = ContinuousClock.now + wait
        return transport == .udp ? try overUDP(socket, deadline) : try overTCP(socket, deadline)
    }

    private func overUDP(_ socket: Socket, _ deadline: ContinuousClock.Instant) throws(SystemError) -> Int32 {
        for number in 0..<copies {
            try socket.send(areAlike ? message : withXID(xid &+ UInt32(number)), to: peer)
        }
        var isAnswered = false
        var isSilent = true
        while let (bytes, from) = try socket.receive(until: deadline) {
            isSilent = false
            if print(bytes, from: from) { isAnswered = true }
            if !wantsAll { break }
        }
        if isSilent { say("silence") }
        return isAnswered ? 0 : 1
    }

    private func withXID(_ xid: UInt32) -> [UInt8] {
        withUnsafeBytes(of: xid.bigEndian, Array.init) + message.dropFirst(4)
    }

    private func overTCP(_ socket: Socket, _ deadline: ContinuousClock.Instant) throws(SystemError) -> Int32 {
        let outcome = try socket.connect(to: peer, until: deadline)
        guard outcome == .connected else {
            say("\(outcome)")
            return 1
        }
        return try overStream(socket, deadline)
    }

    private func overStream(_ socket: Socket, _ deadline: ContinuousClock.Instant) throws(SystemError) -> Int32 {
        try socket.send(framed(message))
        var reader = RecordReader(recordBytesMax: 1 << 24)
        var total = 0
        var isAnswered = false
        while true {
            switch try socket.read(until: deadline) {
            case .bytes(let bytes):
                total += bytes.count
                say("received bytes=\(bytes.count)")
                for record in bytes.withUnsafeBytes({ reader.feed($0) }) where print(record, from: peer) {
                    isAnswered = true
                }
                if isAnswered, !wantsAll { return 0 }
            case .closed, .refused:
                say("closed bytes=\(total)")
                return isAnswered ? 0 : 1
            case .nothing:
                say(total == 0 ? "silence" : "silence after bytes=\(total)")
                return isAnswered ? 0 : 1
            }
        }
    }

    /// Prints a reply; returns whether it was decoded.
    private func print(_ bytes: [UInt8], from: Endpoint) -> Bool {
        let reply = ReplyText(bytes, to: call, xid: xid)
        say("reply from \(from) bytes=\(bytes.count) \(reply.text)")
        if shows { say("shown \(hex(bytes))") }
        return reply.isDecoded
    }
}

/// The message as one record of a stream.
func framed(_ message: [UInt8]) -> [UInt8] {
    var encoder = XDREncoder(reserving: message.count + 4)
    encoder.uint32(RecordReader.header(forRecordBytes: message.count))
    encoder.raw(message)
    return encoder.bytes
}
