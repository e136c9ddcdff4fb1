import Foundation
import ONCRPC
import Testing

extension LabTests {
    @Suite("Text that a peer or a local user chose, in the audit log")
    struct HostileTextTests {
        /// Byte strings that end a line, a string or a field, or that a terminal interprets.
        private static let texts: [[UInt8]] = [
            Array("x\nPRIORITY=0\nRPCWARDEN_EVENT=permitted\n".utf8),
            Array(#"","client":"10.77.1.2","event":"permitted","x":""#.utf8),
            Array("\\\",\\".utf8), Array("\u{1b}[2J\u{1b}]0;owned\u{07}".utf8), [0xff, 0xfe, 0xc3, 0x28, 0x00, 0x80],
            Array("\r\n{\"event\":\"permitted\"}\n".utf8), Array("é\u{202e}🎉".utf8),
            [UInt8](repeating: 0x61, count: 300), [UInt8](repeating: 0x22, count: 300),
            [UInt8](repeating: 0x5c, count: 3000),
        ]

        /// An rpcb call with these bytes for netid, r_addr and owner, in an encoding that no XDR library produces.
        private static func message(_ procedure: UInt32, program: UInt32, _ text: [UInt8], at place: Int) -> [UInt8] {
            var encoder = XDREncoder()
            CallHeader(xid: 7, program: 100_000, version: 4, procedure: procedure).encode(into: &encoder)
            for word in [program, 1] { encoder.uint32(word) }
            for (index, usual) in ["tcp", "10.77.1.1.0.111", "superuser"].enumerated() {
                let bytes = index == place ? text : Array(usual.utf8)
                encoder.uint32(UInt32(bytes.count))
                encoder.raw(bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4))
            }
            return encoder.bytes
        }

        /// Sends lookups of strangers and clients over the network, and registrations, which rpcbind accepts from
        /// any local user.
        private static func send(_ lab: Lab) throws {
            var commands: [String] = []
            for (number, text) in texts.enumerated() {
                for place in 0..<3 {
                    let set = hex(message(1, program: 0x2000_0100 + UInt32(number), text, at: place))
                    commands.append("call --unix /run/rpcbind.sock --wait 500 --hex \(set)")
                }
            }
            let script = commands.map { "\(lab.peerBinary) \($0) &" }.joined(separator: "\n") + "\nwait\n"
            try lab.write(script, to: "send.sh")
            _ = try lab.exec(.server, Lab.asNobody + ["sh", "\(lab.state)/send.sh"])
            for host in [Lab.Host.approved, .stranger] {
                let to = host == .approved ? "10.77.1.1" : "10.77.4.1"
                _ = try lab.peers(
                    host,
                    texts.flatMap { text in
                        (0..<3).flatMap { place in
                            ["tcp", "udp"].map { over in
                                let get = hex(message(3, program: 100_005, text, at: place))
                                return "call --to \(to) --over \(over) --wait 100 --hex \(get)"
                            }
                        }
                    })
            }
        }

        @Test(
            "each line of the file is one JSON object of ours in plain ASCII, and no longer than it may be",
            .lab(.rpcbind, .daemon))
        func file() async throws {
            let lab = try Lab.current
            try Self.send(lab)
            try await lab.event(.untrustedRegistration)
            try await lab.event(.malformed) { $0.client == "10.77.1.2" }
            try await lab.event(.denied) { $0.client == "10.77.4.2" }
            let data = try #require(FileManager.default.contents(atPath: "\(lab.state)/audit.jsonl"))
            #expect(data.allSatisfy { (0x20...0x7e).contains($0) || $0 == 0x0a })
            for line in data.split(separator: 0x0a) {
                let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
                let keys = Set(try #require(object).keys)
                #expect(keys.isSubset(of: Self.keys), "\(keys)")
                #expect(line.count < 4096)
            }
            let permitted = try lab.events(.permitted).filter { $0.program == nil }
            #expect(permitted.isEmpty, "nobody made up an event")
            #expect(try lab.events(.denied).allSatisfy { $0.port != nil })
        }

        private static let keys: Set<String> = [
            "ts", "event", "client", "port", "transport", "program", "program_name", "version", "procedure", "over",
            "decision", "reason", "rule", "xid", "granted", "count", "window", "detail", "enforced",
        ]

        @Test("no text begins a field of its own in the journal", .lab(.rpcbind))
        func journal() async throws {
            let lab = try Lab.current
            try await lab.startJournal()
            try lab.readJournal()
            try await lab.serve(audit: "{to: journal}", policy: Policies.standard)
            try Self.send(lab)
            try await eventually("the registrations are in the journal") {
                let entries = lab.journalEntries()
                return entries.contains { $0.contains("RPCWARDEN_EVENT=untrusted-registration") }
                    && entries.contains { $0.contains("RPCWARDEN_CLIENT=10.77.4.2") }
            }
            for entry in lab.journalEntries() {
                let names = entry.map { String($0.prefix { $0 != "=" }) }
                #expect(Set(names).count == names.count, "each once: \(entry)")
                #expect(names.prefix(4) == ["MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"], "\(entry)")
                #expect(
                    names.dropFirst(4).allSatisfy { Self.keys.contains($0.dropFirst(10).lowercased()) }, "\(entry)")
                #expect(entry.allSatisfy { $0.utf8.count <= 540 && $0.utf8.allSatisfy { (0x20...0x7e).contains($0) } })
                #expect(!entry.contains("PRIORITY=0"))
            }
        }
    }
}
