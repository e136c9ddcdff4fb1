import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("TCP", .lab(.rpcbind, .daemon, settings: "limits: {tcp-idle: 1s}"))
    struct ConnectionLimitTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test("closes a stranger's seventeenth connection, and not another client's first", .lab(.rpcbind, .daemon))
        func seventeenth() async throws {
            let lab = try Lab.current
            try lab.spawnPeer(.stranger, "held", "tcp-hold --to 10.77.4.1 --port 111 --count 17 --hold 2500")
            try await eventually("one is closed") { lab.log("held").contains("closed connection=16") }
            #expect(try lab.ask(.approved, .null(.v2), over: .tcp).body == .success([]))
            #expect(try lab.ask(.server, .null(.v2), to: "127.0.0.1", over: .tcp).body == .success([]))
            try await eventually("the others stay") {
                lab.log("held").contains("opened=17 refused=0 timeout=0 closed=1 open=16")
            }
            try lab.spawnPeer(.stranger, "again", "tcp-hold --to 10.77.4.1 --port 111 --count 16 --hold 500")
            try await eventually("places are given back") {
                lab.log("again").contains("opened=16 refused=0 timeout=0 closed=0 open=16")
            }
        }

        @Test(
            "closes connections that idle, that stop within a record, and that trickle",
            arguments: [
                ("nothing said", "tcp-hold --count 1 --hold 30000"),
                ("half a record mark", "tcp-hold --count 1 --hold 30000 --bytes 8000"),
                ("half a record", "tcp-hold --count 1 --hold 30000 --bytes 8000002812345678"),
                (
                    "a byte each 0.2 s",
                    "stream --pieces 1 --every 200 --wait 20000 --hex 8000002800000001000000000000000000"
                ),
            ])
        func idle(name: String, words: String) throws {
            let started = ContinuousClock.now
            let output = try lab.peer(.approved, words + " --to 10.77.1.1 --port 111")
            let elapsed = ContinuousClock.now - started
            #expect(output.text.contains("closed"), "\(name): \(output)")
            #expect(elapsed > .milliseconds(900), "\(name) was closed too early")
        }

        @Test(
            "closes a connection whose record is longer than record-bytes, whether it says so at once or in fragments",
            .lab(.rpcbind, .daemon, settings: "limits: {tcp-idle: 60s}"))
        func longRecord() async throws {
            let lab = try Lab.current
            let limit = 4096
            let cut = [UInt8](repeating: 0, count: 12)
            let outcomes = try lab.peers(
                .approved,
                [
                    hex([0x80, 0, UInt8((limit + 4) >> 8), UInt8((limit + 4) & 0xff)] + cut), "ffffffff",
                    // Fragments of 4,096 and 4 bytes.
                    hex([0, 0, 0x10, 0] + [UInt8](repeating: 0, count: limit) + [0x80, 0, 0, 4, 0, 0, 0, 0]),
                ].map { "stream --to 10.77.1.1 --wait 20000 --hex \($0)" })
            for outcome in outcomes {
                #expect(outcome.text.contains("closed") && outcome.text.contains("bytes=0"), "\(outcome)")
            }
            try await lab.event(.malformed) { $0.transport == "tcp" && $0.client == "10.77.1.2" }
        }

        @Test("answers several records of one segment, in order, without a word over")
        func severalRecords() throws {
            let xids: [UInt32] = [11, 12, 13, 14, 15]
            let sent = xids.flatMap { record(PortmapperCall.null(.v3).encoded(xid: $0)) }
            #expect(try replies(to: sent, pieces: sent.count).map(\.xid) == xids)
        }

        @Test("answers a record that arrives byte by byte, or in many fragments")
        func byteByByte() throws {
            let call = PortmapperCall.null(.v4).encoded(xid: 99)
            #expect(try replies(to: record(call), pieces: 1).map(\.xid) == [99])
            let two = Self.fragments(of: call, bytes: 2)
            #expect(try replies(to: two, pieces: two.count).map(\.xid) == [99])
            #expect(try replies(to: two, pieces: 3).map(\.body) == [.success([])])
        }

        @Test("answers a call in many small fragments, and one in one-byte fragments among empty ones")
        func manyFragments() throws {
            let call = PortmapperCall.getAddress(
                .v4, RPCB(program: .portmapper, version: 4, netID: "tcp", address: "10.77.1.1.0.111", owner: ""))
            let bytes = Self.fragments(of: call.encoded(xid: 99), bytes: 1)
            #expect(bytes.count > 32 * 5)
            #expect(try replies(to: bytes, pieces: bytes.count).map(\.xid) == [99])
            #expect(try replies(to: [0, 0, 0, 0] + bytes, pieces: 7).map(\.xid) == [99])
        }

        @Test("answers a peer that ends its sending side behind its call, and then closes")
        func halfClosed() throws {
            let rpcb = RPCB(program: .portmapper, version: 4, netID: "tcp", address: "", owner: "")
            for call in [PortmapperCall.null(.v2), .dump(.v4), .getAddress(.v4, rpcb)] {
                let sent = hex(record(call.encoded(xid: 5)))
                let output = try lab.peer(.approved, "stream --to 10.77.1.1 --wait 900 --end --hex \(sent)")
                #expect(output.lines.first?.hasPrefix("closed") == true, "\(output)")
                let shown = try #require(output.lines.last?.split(separator: " ").last, "\(output)")
                #expect(bytesOf(hex: String(shown)).dropFirst(4).prefix(4) == [0, 0, 0, 5], "\(output)")
            }
        }

        @Test(
            "answers calls with AUTH_SYS bodies as clients send them",
            arguments: [
                "an empty machine name": [UInt8](repeating: 0, count: 20),
                "bytes behind the groups": [UInt8](repeating: 0, count: 48),
            ])
        func credentials(name: String, body: [UInt8]) throws {
            var call = PortmapperCall.null(.v2).encoded(xid: 6)
            // The credential's flavour and length come after xid, type, RPC version, program, version and
            // procedure.
            call.replaceSubrange(24..<32, with: [0, 0, 0, 1, 0, 0, 0, UInt8(body.count)] + body)
            for transport in ["udp", "tcp"] {
                let output = try lab.peer(
                    .approved, "call --to 10.77.1.1 --over \(transport) --show --hex \(hex(call))")
                #expect(Answer(output).body == .success([]), "\(name): \(output)")
            }
        }

        private static func fragments(of message: [UInt8], bytes: Int) -> [UInt8] {
            stride(from: 0, to: message.count, by: bytes).flatMap { start in
                let isLast = start + bytes >= message.count
                return [isLast ? 0x80 : 0, 0, 0, UInt8(bytes)] + message[start..<min(start + bytes, message.count)]
            }
        }

        @Test("answers a call behind a denied one on the same connection")
        func goesOnAfterADenial() throws {
            let rpcb = RPCB(program: Program(0x2000_0042), version: 1, netID: "tcp", address: "", owner: "")
            let sent =
                record(PortmapperCall.getAddress(.v4, rpcb).encoded(xid: 1))
                + record(PortmapperCall.null(.v4).encoded(xid: 2))
            let replies = try replies(to: sent, pieces: sent.count)
            #expect(replies.map(\.body) == [.authError(.failed), .success([])])
        }

        private func replies(to bytes: [UInt8], pieces: Int) throws -> [Reply] {
            let output = try lab.peer(
                .approved, "stream --to 10.77.1.1 --pieces \(pieces) --every 1 --wait 400 --hex \(hex(bytes))")
            let shown = try #require(output.lines.last?.split(separator: " ").last)
            var reader = RecordReader(recordBytesMax: 1 << 16)
            let records = bytesOf(hex: String(shown)).withUnsafeBytes { reader.feed($0) }
            return try records.map { try $0.withUnsafeBytes { try Reply(decoding: $0) } }
        }
    }
}
