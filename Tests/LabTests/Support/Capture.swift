import Addresses
import Foundation
import ONCRPC
import Testing

/// Calls to port 111 and their replies in a tcpdump capture, by xid; lengths include all headers except
/// Ethernet's.
struct Capture {
    struct Traffic {
        var callBytes = 0
        var replyBytes = 0
        /// Without IP and transport headers: the RPC message, and over TCP its record mark.
        var callPayload = 0
        var replyPayload = 0

        var factor: Double { callBytes == 0 ? 0 : Double(replyBytes) / Double(callBytes) }
    }

    private(set) var traffic: [UInt32: Traffic] = [:]
    /// ICMP errors from the server.
    private(set) var complaints = 0
    private var server: IPAddress
    /// By the client's port; the first record of a connection contains its xid.
    private var connections: [UInt16: (traffic: Traffic, xid: UInt32?)] = [:]
    /// Fragments after the first contain neither port nor xid.
    private var fragmented: [UInt32: UInt32] = [:]

    /// Reads a pcap(5) file of Ethernet frames, written on this machine.
    init(_ bytes: [UInt8], server: IPAddress) {
        self.server = server
        var rest = bytes.dropFirst(24)
        while rest.count >= 16 {
            let length = rest.dropFirst(8).prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
            take(Array(rest.dropFirst(16 + 14).prefix(max(0, length - 14))))
            rest = rest.dropFirst(16 + length)
        }
        for client in connections.keys { finish(client) }
    }

    private mutating func take(_ packet: [UInt8]) {
        guard let version = packet.first.map({ $0 >> 4 }) else { return }
        switch version {
        case 4 where packet.count >= 20: takeIPv4(packet)
        case 6 where packet.count >= 40: takeIPv6(packet)
        default: break
        }
    }

    private mutating func takeIPv4(_ packet: [UInt8]) {
        let total = packet.number(at: 2, 2)
        let offset = packet.number(at: 6, 2) & 0x1fff
        let isFirst = packet[6] & 0x20 != 0 && offset == 0
        let content = Array(packet[(Int(packet[0] & 15) * 4)..<min(total, packet.count)])
        let isReply = IPAddress(networkBytes: packet[12..<16]) == server
        if packet[9] == 1, isReply { complaints += 1 }
        take(
            content, packet[9], isReply, total, fragment: UInt32(packet.number(at: 4, 2)), isFirst: isFirst,
            isRest: offset > 0)
    }

    private mutating func takeIPv6(_ packet: [UInt8]) {
        let total = packet.number(at: 4, 2) + 40
        let isReply = IPAddress(networkBytes: packet[8..<24]) == server
        if packet[6] == 58, isReply, packet.count > 40, packet[40] < 128 { complaints += 1 }
        guard packet[6] == 44, packet.count >= 48 else {
            return take(
                Array(packet.dropFirst(40)), packet[6], isReply, total, fragment: 0, isFirst: false, isRest: false)
        }
        let offset = packet.number(at: 42, 2) & ~7
        take(
            Array(packet.dropFirst(48)), packet[40], isReply, total, fragment: UInt32(packet.number(at: 44, 4)),
            isFirst: offset == 0, isRest: offset > 0)
    }

    private mutating func take(
        _ content: [UInt8], _ transport: UInt8, _ isReply: Bool, _ bytes: Int, fragment: UInt32, isFirst: Bool,
        isRest: Bool
    ) {
        if isRest {
            guard transport == 17, let xid = fragmented[fragment] else { return }
            return add(bytes, payload: content.count, isReply, to: xid)
        }
        guard content.count >= 8 else { return }
        let (source, destination) = (UInt16(content.number(at: 0, 2)), UInt16(content.number(at: 2, 2)))
        guard (isReply ? source : destination) == 111 else { return }
        if transport == 17, content.count >= 12 {
            let xid = UInt32(content.number(at: 8, 4))
            if isFirst { fragmented[fragment] = xid }
            add(bytes, payload: content.count - 8, isReply, to: xid)
        } else if transport == 6, content.count >= 20 {
            let payload = content.dropFirst(Int(content[12] >> 4) * 4)
            // A SYN: the port is reused.
            if content[13] & 0x12 == 0x02 { finish(source) }
            takeSegment(Array(payload), bytes, isReply, client: isReply ? destination : source)
        }
    }

    private mutating func finish(_ client: UInt16) {
        guard let connection = connections.removeValue(forKey: client), let xid = connection.xid else { return }
        traffic[xid] = connection.traffic
    }

    private mutating func takeSegment(_ payload: [UInt8], _ bytes: Int, _ isReply: Bool, client: UInt16) {
        var connection = connections[client] ?? (Traffic(), nil)
        connection.traffic.add(bytes, payload: payload.count, isReply)
        if !isReply, connection.xid == nil, payload.count >= 8 {
            connection.xid = UInt32(payload.number(at: 4, 4))
        }
        connections[client] = connection
    }

    private mutating func add(_ bytes: Int, payload: Int, _ isReply: Bool, to xid: UInt32) {
        traffic[xid, default: Traffic()].add(bytes, payload: payload, isReply)
    }
}

extension Capture.Traffic {
    fileprivate mutating func add(_ bytes: Int, payload: Int, _ isReply: Bool) {
        if isReply {
            replyBytes += bytes
            replyPayload += payload
        } else {
            callBytes += bytes
            callPayload += payload
        }
    }
}

extension [UInt8] {
    fileprivate func number(at start: Int, _ count: Int) -> Int {
        self[start..<start + count].reduce(0) { $0 << 8 | Int($1) }
    }
}

extension IPAddress {
    fileprivate init?(networkBytes bytes: ArraySlice<UInt8>) {
        let address = bytes.withUnsafeBytes { IPAddress(networkBytes: $0) }
        guard let address else { return nil }
        self = address
    }
}

extension Lab {
    /// tcpdump, which has ended, missed no packet.
    func expectNoDrops(_ capture: String) throws {
        let text = log(capture)
        let dropped = try #require(text.firstMatch(of: /(\d+) packets? dropped by kernel/), "\(text)")
        #expect(dropped.1 == "0")
    }

    /// Runs `body`, and returns the traffic of the host's interface meanwhile.
    func capturing(_ host: Host, server: String, _ body: () throws -> Void) async throws -> Capture {
        let name = "capture-\(UInt32.random)"
        let file = "\(state)/\(name).pcap"
        let address = try #require(IPAddress(server))
        // By default, tcpdump would drop root's rights, and could not write here.
        // The default buffer has room for some eight packets of any length.
        let tcpdump = ["tcpdump", "-Z", "root", "-i", "eth0", "-B", "65536", "--immediate-mode", "-U", "-w", file]
        try spawn(host, name, tcpdump)
        try await eventually("tcpdump listens") { log(name).contains("listening on") }
        try body()
        // Waits for the last packets of the last connection.
        try await Task.sleep(for: .milliseconds(100))
        // Once a later packet is in the file, all earlier ones are. No host answers a datagram to a group.
        let mark = "the end of \(name)"
        #expect(try exec(host, "bash", "-c", "echo '\(mark)' >/dev/udp/ff02::1%eth0/9").isSuccess)
        let bytes = try await eventually("the capture is written", within: .seconds(30)) {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
            return bytes.range(of: Data(mark.utf8)) == nil ? nil : bytes
        }
        try kill(name)
        try expectNoDrops(name)
        return Capture(Array(bytes), server: address)
    }
}
