import Addresses
import ONCRPC
import Portmapper
import Testing

private let quiet = "quarantine: false"
private let policy = """
    clients:
      listing: [10.77.1.0/24, "fd77:1::/64"]
      plain: [10.78.0.0/16, "fd78::/48"]
      limited: [10.77.3.2, "fd77:3::2"]
    programs:
      nfsv3: [mountd, nfs, nlockmgr, status, rquotad]
    rules:
      - name: these mount and list
        from: [listing]
        to: [nfsv3]
        list: true
      - name: these mount
        from: [plain]
        to: [nfsv3]
      - name: these ask for quotas
        from: [limited]
        to: [rquotad]
    """

/// The network cost of a call and of its reply: the gain of an attacker who calls with a forged source address.
extension LabTests {
    @Suite("Amplification", .lab(.rpcbind, .ganesha, .daemon, settings: quiet, policy: policy))
    struct AmplificationTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        struct Client: Sendable, CustomTestStringConvertible {
            var name: String
            var host: Lab.Host
            var server: String
            var options = ""

            var testDescription: String { "\(name), asking \(server)" }
        }

        static let stranger = [
            Client(name: "stranger", host: .stranger, server: "10.77.4.1"),
            Client(name: "stranger", host: .stranger, server: "fd77:4::1"),
        ]
        static let listing = [
            Client(name: "approved, list", host: .approved, server: "10.77.1.1"),
            Client(name: "approved, list", host: .approved, server: "fd77:1::1"),
        ]
        static let others = [
            Client(name: "limited", host: .limited, server: "10.77.3.1"),
            Client(name: "limited", host: .limited, server: "fd77:3::1"),
            Client(name: "approved, no list", host: .approved, server: "10.77.1.1", options: "--from 10.78.0.5"),
            Client(name: "approved, no list", host: .approved, server: "fd77:1::1", options: "--from fd78::5"),
        ]

        struct Measured {
            var ask: Ask
            var answer: Answer
            var traffic: Capture.Traffic

            /// GETADDRLIST counts as a lookup: it concerns one program.
            var isListing: Bool {
                switch ask.call {
                case .dump: true
                default: false
                }
            }

            /// Every reply except a result.
            var isDenied: Bool {
                if case .success = answer.body { false } else { true }
            }
        }

        /// Asks every procedure of every version, while tcpdump captures.
        private func measure(
            _ client: Client, over transport: Transport, _ calls: [PortmapperCall]? = nil
        ) async throws -> [Measured] {
            let netID = NetID(transport, isIPv4: !client.server.contains(":")).rawValue
            let calls = calls ?? PortmapperCall.all(netID: netID, at: "")
            let asks = calls.map { Ask($0, to: client.server, over: transport) }
            var answers: [Answer] = []
            // Strangers get no answer over UDP; all others get one.
            let wait = client.host == .stranger && transport == .udp ? 500 : 5000
            let capture = try await lab.capturing(client.host, server: client.server) {
                // A client may have sixteen connections at once; the connections of the last round may still be
                // closing.
                for start in stride(from: 0, to: asks.count, by: 7) {
                    let words = asks.indices.dropFirst(start).prefix(7).map {
                        Lab.words(asks[$0], xid: Self.xid($0), "--wait \(wait) \(client.options)")
                    }
                    answers += try lab.peers(client.host, words).map(Answer.init)
                }
            }
            #expect(capture.complaints == 0, "no ICMP either")
            let measured = asks.indices.map { index in
                Measured(
                    ask: asks[index], answer: answers[index],
                    traffic: capture.traffic[Self.xid(index)] ?? Capture.Traffic())
            }
            for item in measured {
                #expect(
                    item.traffic.callPayload >= 40, "the call was not seen: \(item.ask.testDescription): \(item.answer)"
                )
            }
            return measured
        }

        private static func xid(_ index: Int) -> UInt32 { 0x7a00_0000 + UInt32(index) }

        private func report(_ client: Client, _ transport: Transport, _ measured: [Measured]) {
            guard let most = measured.max(by: { $0.traffic.factor < $1.traffic.factor }) else { return }
            let factor = (most.traffic.factor * 100).rounded() / 100
            print(
                "amplification \(client.name) | \(transport)\(client.server.contains(":") ? "6" : "") | \(factor)"
                    + " | v\(most.ask.call.version.rawValue) \(most.ask.call.procedureName)"
                    + " \(most.traffic.callBytes) -> \(most.traffic.replyBytes)")
        }

        @Test("a stranger gets not a byte over UDP, and no byte of an answer over TCP", arguments: stranger)
        func strangers(client: Client) async throws {
            let overUDP = try await measure(client, over: .udp)
            for item in overUDP { #expect(item.traffic.replyBytes == 0, "\(item.ask.testDescription)") }
            report(client, .udp, overUDP)
            let overTCP = try await measure(client, over: .tcp)
            for item in overTCP { #expect(item.traffic.replyPayload == 0, "\(item.ask.testDescription)") }
            report(client, .tcp, overTCP)
        }

        @Test(
            "no denial is longer than its call, and lists go over TCP alone", arguments: listing + others,
            Transport.allCases)
        func named(client: Client, transport: Transport) async throws {
            let measured = try await measure(client, over: transport)
            for item in measured where item.isDenied {
                #expect(
                    item.traffic.replyPayload <= item.traffic.callPayload, "\(item.ask.testDescription)")
            }
            for item in measured where item.isListing {
                let isServed = transport == .tcp && client.name == "approved, list"
                #expect(item.isDenied != isServed, "\(item.ask.testDescription): \(item.answer)")
                #expect(item.answer.body == .authError(.failed) || isServed)
            }
            if transport == .udp {
                // A reply that is not a denial is as long as one address; GETADDRLIST has two addresses, within
                // its clients' byte budget.
                for item in measured {
                    let isList = if case .getAddressList = item.ask.call { true } else { false }
                    #expect(item.traffic.factor < (isList ? 2 : 1.5), "\(item.ask.testDescription)")
                }
            }
            report(client, transport, measured)
        }

        @Test(
            "with udp-list, only those who may list get lists over UDP",
            .lab(.rpcbind, .ganesha, .daemon, settings: quiet + "\nlimits: {udp-list: true}", policy: policy))
        func listsOverUDP() async throws {
            let lab = try Lab.current
            let lists = PortmapperCall.all(netID: "udp", at: "").filter { call in
                if case .dump = call { true } else { false }
            }
            let tests = try AmplificationTests()
            for client in Self.listing {
                let measured = try await tests.measure(client, over: .udp, lists)
                for item in measured { #expect(!item.isDenied, "\(item.ask.testDescription): \(item.answer)") }
                tests.report(client, .udp, measured)
            }
            for client in Self.others {
                for item in try await tests.measure(client, over: .udp, lists) {
                    #expect(item.answer.body == .authError(.failed), "\(item.ask.testDescription): \(item.answer)")
                    #expect(item.traffic.replyPayload <= item.traffic.callPayload)
                }
            }
            for client in Self.stranger {
                for item in try await tests.measure(client, over: .udp, lists) {
                    #expect(item.traffic.replyBytes == 0)
                }
            }
            try await boundedByBytes(lab)
        }

        /// 150 calls are within the burst of calls-per-second, so the byte budget is the limit here.
        private func boundedByBytes(_ lab: Lab) async throws {
            let started = ContinuousClock.now
            let answer = Answer(
                try lab.peer(
                    .approved,
                    "call --to 10.77.1.1 --over udp --from 10.77.1.3 --count 150 --all --show --wait 1500 v4 dump"))
            let seconds = (ContinuousClock.now - started).components.seconds + 1
            let bytes = answer.replies.reduce(0) { $0 + $1.count }
            print("amplification: 150 lists asked over UDP: \(answer.replies.count) answers, \(bytes) bytes")
            #expect(bytes > 32 << 10)
            #expect(bytes <= (64 << 10) + Int(seconds) * (16 << 10))
            try await lab.event(.denied) { $0.reason == "rate" && $0.procedure == "dump" && $0.client == "10.77.1.3" }
            let dump = PortmapperCall.dump(.v4)
            #expect(try lab.ask(.approved, dump, over: .tcp, options: "--from 10.77.1.3").result(of: dump) != nil)
            #expect(try lab.ask(.approved, .null(.v2), over: .udp, options: "--from 10.77.1.3").body == .success([]))
        }

        @Test("rpcinfo -p is served, by TCP")
        func rpcinfo() throws {
            let output = try lab.exec(.approved, "rpcinfo", "-p", "10.77.1.1", seconds: 5)
            #expect(output.isSuccess && output.text.contains("100005"), "\(output)")
        }
    }
}
