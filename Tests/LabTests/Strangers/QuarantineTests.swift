import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Quarantine")
    struct QuarantineTests {
        @Test(
            "drops a stranger in the kernel after enough denials, until it is released or its time is up",
            .lab(.rpcbind, .daemon, settings: "quarantine: {after: 5, within: 10s, for: 12s}"),
            arguments: [false, true])
        func stranger(isReleased: Bool) async throws {
            let lab = try Lab.current
            #expect(
                try lab.ask(.stranger, .null(.v2), to: "10.77.4.1", over: .tcp).isClosedWithoutByte,
                "before: a close without a byte")
            try lab.provoke(from: .stranger, to: "10.77.4.1", over: .udp, count: 5)
            try await lab.event(.quarantined) { $0.client == "10.77.4.2" && ($0.count ?? 0) >= 5 }
            #expect(try lab.elements(of: "quarantined4").contains { $0.hasPrefix("10.77.4.2 ") })
            let calls = try lab.listing("status", as: StatusReport.self).counts["calls"]
            let answer = try lab.ask(.stranger, .null(.v2), to: "10.77.4.1", over: .tcp, options: "--wait 300")
            #expect(!answer.isClosedWithoutByte, "the SYN is dropped: \(answer)")
            #expect(try lab.listing("status", as: StatusReport.self).counts["calls"] == calls)

            let rows = try lab.listing("denials", as: [DenialRow].self)
            let row = try #require(rows.first { $0.client == "10.77.4.2" })
            #expect(row.quarantined && row.count >= 5 && row.reasons == ["stranger"] && row.programs == [300_000])
            #expect(try lab.rpcwarden("denials").text.contains("10.77.4.2"))
            #expect(try lab.rpcwarden("denials", "--since", "1h", "--json").text.contains("10.77.4.2"))
            #expect(try lab.rpcwarden("denials", "--since", "soon").status == 2)

            if isReleased {
                #expect(try lab.rpcwarden("release", "--client", "10.77.4.2").text == "released: 10.77.4.2\n")
                #expect(try lab.rpcwarden("release", "--client", "10.77.4.2").text.contains("not quarantined"))
                #expect(try lab.rpcwarden("release", "--client", "nobody").status == 2)
            }
            try await lab.event(.released) { $0.client == "10.77.4.2" }
            #expect(try lab.elements(of: "quarantined4").isEmpty)
            #expect(try lab.ask(.stranger, .null(.v2), to: "10.77.4.1", over: .tcp).isClosedWithoutByte)
            #expect(try lab.listing("denials", as: [DenialRow].self).contains { $0.quarantined } == false)
        }

        @Test(
            "spares whom a rule names, but for `listed: true` and then only on what came over TCP",
            .lab(.rpcbind, .daemon), arguments: [(Transport.tcp, false), (.udp, true), (.tcp, true)])
        func named(transport: Transport, includesListed: Bool) async throws {
            let lab = try Lab.current
            try lab.configure(
                "quarantine: {after: 5, within: 10s, for: 60s, listed: \(includesListed)}", policy: Policies.standard)
            try await lab.restartDaemon()
            try lab.provoke(from: .approved, to: "10.77.1.1", over: transport, count: 8)
            try await lab.event(.denied) { $0.client == "10.77.1.2" }
            let isQuarantined = transport == .tcp && includesListed
            if isQuarantined {
                try await lab.event(.quarantined) { $0.client == "10.77.1.2" }
            } else if transport == .tcp {
                try await lab.event(.enumeration) { $0.detail?.contains("a rule names it") == true }
            }
            try await Task.sleep(for: .milliseconds(300))
            let answer = try lab.ask(
                .approved, .null(.v2), over: .tcp, options: "--wait \(isQuarantined ? 300 : 5000)")
            #expect((answer.body == .success([])) == !isQuarantined, "\(answer)")
            #expect(try lab.events(.quarantined).count == (isQuarantined ? 1 : 0))
            #expect(try lab.peer(.server, "call --to 127.0.0.1 --over tcp v2 null").isSuccess)
        }

        @Test(
            "outlives a restart, and who undoes it by hand is undone",
            .lab(
                .rpcbind, .daemon,
                settings: "quarantine: {after: 5, within: 10s, for: 60s}\nfirewall: {own-table: false}"))
        func survives() async throws {
            let lab = try Lab.current
            try lab.provoke(from: .stranger, to: "10.77.4.1", over: .udp, count: 5)
            try await lab.event(.quarantined)
            try await lab.restartDaemon("KILL")
            #expect(try lab.elements(of: "quarantined4").contains { $0.hasPrefix("10.77.4.2 ") })
            #expect(try lab.nft("delete element inet rpcwarden quarantined4 { 10.77.4.2 }").isSuccess)
            try await lab.event(.tampered)
            try await lab.event(.restored)
            #expect(try lab.elements(of: "quarantined4").contains { $0.hasPrefix("10.77.4.2 ") })
            #expect(try lab.rpcwarden("release", "--client", "10.77.4.2").text.hasPrefix("released"))
        }
    }
}

/// A row of `denials --json`.
struct DenialRow: Decodable {
    var client: String
    var reasons: [String]
    var programs: [UInt32]
    var count: Int
    var first: String
    var last: String
    var quarantined: Bool
}
