import Addresses
import Foundation
import Testing

extension LabTests {
    /// As many calls as the machine can send, from unassigned addresses.
    @Suite("Floods of strangers")
    struct FloodTests {
        @Test(
            "leave approved clients answered, memory flat, the log within its rate, and the totals whole",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()), arguments: [Transport.udp, .tcp])
        func flood(over transport: Transport) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            // Half-open connections must stay half open.
            for command in [
                "add table ip quiet", "add chain ip quiet in { type filter hook prerouting priority -300; }",
                "add rule ip quiet in tcp sport 111 drop",
            ] { #expect(try lab.exec(.stranger, "nft", command).isSuccess) }
            let before = try lab.memory()
            try lab.spawnPeer(
                .stranger, "flood",
                "flood --to 10.77.4.1 --over \(transport) --sources 10.79.0.1/60000 --seconds 8")
            try await Task.sleep(for: .seconds(1))

            let storm = try lab.peer(
                .approved,
                "storm --to 10.77.1.1 --over \(transport) --count 4000 --program \(echo.program) --version 1"
                    + " --service tcp --sources 10.78.0.1/200 --parallel 2 --wait 2000 --retries 9", seconds: 60)
            #expect(try storm.number("ok") >= 3996, "\(storm)")
            #expect(try lab.peer(.server, "call --to 127.0.0.1 --over \(transport) v2 null").isSuccess)
            try await eventually("the flood ends", within: .seconds(20)) { lab.log("flood").contains("sent=") }
            print("\(transport): flood \(lab.log("flood").dropLast()); storm \(storm.text.dropLast())")

            let growth = try lab.memory() - before
            #expect(growth < 24 << 10, "grew by \(growth) KiB")
            let log = try Data(contentsOf: URL(fileURLWithPath: "\(lab.state)/audit.jsonl"))
            #expect(log.count < 8 << 20, "\(log.count) bytes")
            if transport == .udp { try await lab.event(.shielded) { $0.transport == "udp" } }

            // Suppressed denials are summed up every ten seconds; what the kernel dropped is counted later than it was
            // sent.
            var sums: [Int?] = []
            do {
                try await eventually("the sums are whole", within: .seconds(30)) {
                    let denied = try lab.counts()["denied"]
                    let written = try lab.events(.denied).count
                    let swallowed = try lab.events(.suppressed).filter { $0.detail == "denied" }.compactMap(\.count)
                    sums = [denied, written, swallowed.reduce(0, +)]
                    return swallowed.reduce(written, +) == denied
                }
            } catch {
                Issue.record("\(error): \(sums), \(try lab.counts())")
            }
        }
    }
}

extension Lab {
    /// The daemon's resident memory, in KiB.
    func memory() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(try pid("daemon"))/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(Int(line.split(separator: " ")[1]))
    }
}

extension Output {
    /// The number in `name=NUMBER`.
    func number(_ name: String) throws -> Int {
        let word = try #require(
            text.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix(name + "=") }, "\(self)")
        return try #require(Int(word.dropFirst(name.count + 1)))
    }
}
