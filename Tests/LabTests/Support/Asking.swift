import Addresses
import ONCRPC
import Portmapper
import Testing

/// A call to a server address of the lab, over a transport.
struct Ask: Sendable, CustomTestStringConvertible {
    var to: String
    var over: Transport
    var call: PortmapperCall

    init(_ call: PortmapperCall, to: String, over: Transport) {
        self.call = call
        self.to = to
        self.over = over
    }

    var testDescription: String { "v\(call.version.rawValue) \(call.procedureName) over \(over) to \(to)" }
}

/// The result of one call.
struct Answer: CustomStringConvertible {
    /// The replies' bytes, without record marks.
    var replies: [[UInt8]] = []
    /// The senders of the replies.
    var sources: [String] = []
    var output: Output

    init(_ output: Output) {
        self.output = output
        for line in output.lines {
            let words = line.split(separator: " ").map(String.init)
            if line.hasPrefix("reply from ") { sources.append(words[2]) }
            if line.hasPrefix("shown "), words.count > 1 { replies.append(bytesOf(hex: words[1])) }
        }
    }

    /// UDP: no datagram. TCP: no byte, and the connection closed or never made.
    var isSilence: Bool {
        output.lines.contains("silence") && replies.isEmpty && !output.text.contains("bytes=")
    }

    /// TCP: the connection was closed, and no byte was received.
    var isClosedWithoutByte: Bool { output.lines.contains("closed bytes=0") }

    /// The decoded first reply.
    var body: Reply.Body? {
        guard let first = replies.first else { return nil }
        return first.withUnsafeBytes { (try? Reply(decoding: $0))?.body }
    }

    /// The decoded results of an accepted call.
    func result(of call: PortmapperCall) -> PortmapperResult? {
        guard case .success(let results) = body else { return nil }
        return results.withUnsafeBytes { try? PortmapperResult(decoding: $0, of: call) }
    }

    var description: String { output.description }
}

extension Lab {
    /// Sends one call and waits for one reply.
    func ask(
        _ host: Host, _ call: PortmapperCall, to server: String = "10.77.1.1", over transport: Transport,
        options: String = ""
    ) throws -> Answer {
        Answer(try peer(host, Self.words(Ask(call, to: server, over: transport), xid: .random, options)))
    }

    /// Sends all calls at once.
    func ask(_ host: Host, _ asks: [Ask], options: String = "") throws -> [Answer] {
        try peers(host, asks.map { Self.words($0, xid: .random, options) }).map(Answer.init)
    }

    /// Sends calls about a program that no rule names, so many that each is counted: a stranger has 16 connections at
    /// once.
    func provoke(
        from host: Host, as client: String? = nil, to server: String, over transport: Transport, count: Int
    ) throws {
        let call = PortmapperCall.getPort(Mapping(program: Program(300_000), version: 1, protocolNumber: 6, port: 0))
        // Over TCP a connection is closed in place of an answer; a datagram has no end to wait for.
        let wait = transport == .tcp ? 2000 : 60
        let from = client.map { " --from \($0)" } ?? ""
        let words = Self.words(Ask(call, to: server, over: transport), xid: 5, "--wait \(wait)\(from)")
        for start in stride(from: 0, to: count, by: 8) {
            _ = try peers(host, Array(repeating: words, count: min(8, count - start)))
        }
    }

    static func words(_ ask: Ask, xid: UInt32, _ options: String) -> String {
        "call --to \(ask.to) --over \(ask.over) --show --hex \(hex(ask.call.encoded(xid: xid))) \(options)"
    }

    /// The port of a service, from a lookup on the server itself: rpcbind's answer.
    func port(of program: UInt32, _ version: UInt32, _ netid: String) throws -> UInt16 {
        let registered = try registeredServices()
        let line = registered.first { $0.prefix(3) == [String(program), String(version), netid] }
        let address = try #require(line, "\(program) \(version) \(netid) is not registered")[3]
        return try #require(UniversalAddress(address)).port
    }

    /// The registrations of the real rpcbind, read over its unix socket: program, version, netid, address, owner.
    func registeredServices() throws -> [[String]] {
        let output = try exec(.server, "rpcinfo", seconds: 5)
        guard output.isSuccess else { throw CommandError(command: ["rpcinfo"], output: output) }
        return output.lines.dropFirst().map { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
            return Array(words.prefix(4)) + [words.last ?? ""]
        }
    }
}

extension UInt32 {
    static var random: UInt32 { .random(in: 1...UInt32.max) }
}

extension PortmapperCall {
    /// Every procedure of every version.
    static func all(about program: Program = .mountd, netID: String = "tcp", at host: String) -> [PortmapperCall] {
        let mapping = Mapping(program: program, version: 3, protocolNumber: 6, port: 0)
        let registration = Mapping(program: Program(0x2000_0099), version: 1, protocolNumber: 17, port: 9)
        let rpcb = RPCB(program: program, version: 3, netID: netID, address: host, owner: "")
        let remote = RemoteCall(program: program, version: 3, procedure: 0)
        return [
            .null(.v2), .setMapping(registration), .unsetMapping(mapping), .getPort(mapping), .dump(.v2),
            .callIt(.v2, remote),
            .null(.v3), .set(.v3, rpcb), .unset(.v3, rpcb), .getAddress(.v3, rpcb), .dump(.v3), .callIt(.v3, remote),
            .getTime(.v3), .universalToTransportAddress(.v3, "10.77.1.1.0.111"), .transportToUniversalAddress(.v3),
            .null(.v4), .set(.v4, rpcb), .unset(.v4, rpcb), .getAddress(.v4, rpcb), .dump(.v4), .broadcast(remote),
            .getTime(.v4), .universalToTransportAddress(.v4, "10.77.1.1.0.111"), .transportToUniversalAddress(.v4),
            .getVersionAddress(rpcb), .indirect(remote), .getAddressList(rpcb), .getStatistics,
        ]
    }
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

func bytesOf(hex text: String) -> [UInt8] {
    stride(from: 0, to: text.utf8.count, by: 2).compactMap { start in
        UInt8(text.dropFirst(start).prefix(2), radix: 16)
    }
}

/// The message as one record of a stream.
func record(_ message: [UInt8]) -> [UInt8] {
    var encoder = XDREncoder(reserving: message.count + 4)
    encoder.uint32(RecordReader.header(forRecordBytes: message.count))
    encoder.raw(message)
    return encoder.bytes
}
