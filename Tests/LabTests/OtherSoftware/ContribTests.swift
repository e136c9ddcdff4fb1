import Addresses
import Foundation
import Portmapper
import Testing

private let withoutQuarantine = "quarantine: false"

extension LabTests {
    @Suite("Ready-made reactions", .lab(.rpcbind, .daemon, settings: withoutQuarantine))
    struct ContribTests {
        /// Events that this lab's daemon does not cause; only the first two count.
        private static let more = [
            #""event":"enumeration","client":"10.79.0.1","transport":"tcp","count":9,"window":60,"detail":"programs 100003 100005; reasons no-rule stranger; looks like nmap"}"#,
            #""event":"quarantined","client":"fd79::2","port":7,"transport":"tcp","count":20,"window":60}"#,
            #""event":"enumeration","client":"10.79.0.3","transport":"udp","count":9,"window":60,"detail":"reasons stranger"}"#,
            #""event":"enumeration","client":"10.79.0.3","transport":"tcp","detail":"not quarantined: a rule names it; reasons stranger"}"#,
            #""event":"quarantined","client":"10.79.0.4","transport":"tcp","count":20,"window":60,"enforced":false}"#,
            #""event":"quarantined","client":"10.79.0.5","count":20,"window":60}"#,
            #""event":"untrusted-registration","program":7,"detail":"tcp/9 (tcp) by \",\"event\":\"denied\",\"client\":\"10.79.0.7\",\"port\":1,\"transport\":\"tcp\",\"reason\":\"stranger\"}"}"#,
            #""event":"denied","client":"10.77.1.2","port":7,"transport":"tcp","reason":"no-rule","detail":"\"reason\":\"stranger\"}"}"#,
            #""event":"probed","client":"10.79.0.6","port":7,"transport":"tcp","detail":"tcp/2049"}"#,
        ]

        private static let strangers: Set = ["10.77.4.2", "fd77:4::2", "10.79.0.9"]

        /// An enforced event of a stranger, over TCP.
        private static func isStrangers(_ record: AuditRecord) -> Bool {
            guard let client = record.client, strangers.contains(client), record.transport == "tcp" else {
                return false
            }
            guard record.enforced == nil else { return false }
            return record.event == .denied && record.reason == "stranger" || record.event == .enumeration
        }

        /// A stranger and a named client enumerate over TCP; both are reported.
        private static func enumerate(_ lab: Lab) async throws {
            _ = try lab.ask(.stranger, .dump(.v2), to: "10.77.4.1", over: .tcp, options: "--from 10.79.0.9")
            for program in 100_001...100_008 as ClosedRange<UInt32> {
                let mapping = Mapping(program: Program(program), version: 2, protocolNumber: 6, port: 0)
                _ = try lab.ask(.limited, .getPort(mapping), to: "10.77.3.1", over: .tcp)
            }
            for client in ["10.79.0.9", "10.77.3.2"] {
                try await lab.event(.enumeration) { $0.client == client && $0.transport == "tcp" }
            }
        }

        @Test(
            "fail2ban's filter finds a stranger's denials over TCP and what was enumerated over TCP, and nothing else",
            .enabled(if: Contrib.isInstalled("fail2ban-regex"), "needs fail2ban"))
        func filter() async throws {
            let lab = try Lab.current
            try await lab.makeDenials()
            try await Self.enumerate(lab)
            // The same in observe mode.
            try lab.configure("mode: observe\n\(withoutQuarantine)", policy: Policies.standard)
            #expect(try lab.rpcwarden("reload").isSuccess)
            try await lab.makeDenials()
            try lab.configure(withoutQuarantine, policy: Policies.standard)
            #expect(try lab.rpcwarden("reload").isSuccess)

            let log = try String(contentsOfFile: "\(lab.state)/audit.jsonl", encoding: .utf8)
            let added = Self.more.map { #"{"ts":"2026-11-21T12:00:03.250Z","# + $0 + "\n" }.joined()
            try lab.write(log + added, to: "seen.jsonl")
            let filter = "\(Contrib.folder)/fail2ban/filter.d/rpcwarden.conf"
            let output = try lab.exec(.server, "fail2ban-regex", "-o", "ip", "\(lab.state)/seen.jsonl", filter)
            let expected = try AuditRecord.records(in: log).filter(Self.isStrangers).compactMap(\.client)
            #expect(Set(expected) == Self.strangers && expected.count >= 9)
            #expect(output.isSuccess && output.lines == expected + ["10.79.0.1", "fd79::2"], "\(output)")
            #expect(log.contains(#""enforced":false"#))
        }

        @Test(
            "fail2ban's jail bans the stranger, and nobody else",
            .enabled(if: Contrib.isInstalled("fail2ban-server"), "needs fail2ban"))
        func jail() async throws {
            let lab = try Lab.current
            try await lab.makeDenials()
            let folder = "\(lab.state)/fail2ban"
            // Debian's own sshd jail needs a log that does not exist here.
            let install = """
                cp -r /etc/fail2ban \(folder) && rm -f \(folder)/jail.d/*
                cp \(Contrib.folder)/fail2ban/filter.d/rpcwarden.conf \(folder)/filter.d/
                printf '[DEFAULT]\\nlogtarget = STDOUT\\nsocket = \(folder)/socket\\npidfile = \(folder)/pid\\ndbfile = None\\n' \
                    >\(folder)/fail2ban.local
                """
            #expect(try lab.exec(.server, "sh", "-c", install).isSuccess)
            let jail = Contrib.inLab(lab, try Contrib.text("fail2ban/jail.d/rpcwarden.conf"))
            try lab.write(jail, to: "fail2ban/jail.d/rpcwarden.conf")
            try lab.spawn(.server, "fail2ban", ["fail2ban-server", "-f", "-c", folder])
            do {
                try await eventually("the stranger is banned") {
                    try lab.nft("list table inet f2b-table").text.contains("10.77.4.2")
                }
            } catch {
                throw Unfulfilled(description: "\(error)\n\(lab.log("fail2ban"))")
            }
            let table = try lab.nft("list table inet f2b-table").text
            for client in ["10.77.1.2", "10.77.3.2"] { #expect(!table.contains(client), "\(table)") }
            let echo = Echo(program: 100_005)
            try await lab.start(echo)
            #expect(try lab.ask(.approved, echo.getPort, over: .tcp).result(of: echo.getPort) == .port(4001))
            try lab.kill("fail2ban")
        }

        @Test(
            "logrotate rotates under a daemon that writes, and no line is lost or torn",
            .enabled(if: Contrib.isInstalled("logrotate"), "needs logrotate"))
        func rotation() async throws {
            let lab = try Lab.current
            let before = (try lab.counts(), AuditSum(try lab.events()))
            try lab.write(Contrib.inLab(lab, try Contrib.text("logrotate/rpcwarden")), to: "logrotate.conf")
            var storms: [String] = []
            for _ in 0..<4 {
                if try storms.last.map({ try !lab.isRunning($0) }) ?? true {
                    storms.append("storm\(storms.count)")
                    try lab.spawnPeer(
                        .approved, storms.last ?? "",
                        "storm --to 10.77.1.1 --over udp --count 6000 --program 100000 --version 2 --service udp"
                            + " --sources 10.78.1.1/6000 --parallel 2 --wait 2000")
                }
                let output = try lab.exec(
                    .server, "logrotate", "--force", "--state", "\(lab.state)/logrotate.state",
                    "\(lab.state)/logrotate.conf")
                #expect(output.isSuccess, "\(output)")
                try await eventually("the log is opened anew") {
                    FileManager.default.fileExists(atPath: "\(lab.state)/audit.jsonl")
                }
            }
            for storm in storms {
                try await eventually("the storm ends") { lab.log(storm).contains("ok=") }
                #expect(lab.log(storm).contains("unanswered=0"), "\(lab.log(storm))")
            }
            let counts = try lab.counts()
            #expect(counts["audit_lost"] == 0)
            try await eventually("every line is in one of the files") {
                let text = try lab.exec(
                    .server, "sh", "-c", "for file in $(ls -rv \(lab.state)/audit.jsonl*); do zcat -f $file; done"
                ).text
                let written = AuditSum(try AuditRecord.records(in: text)).permitted - before.1.permitted
                let suppressed = counts["audit_suppressed", default: 0] - before.0["audit_suppressed", default: 0]
                return written + suppressed == counts["permitted", default: 0] - before.0["permitted", default: 0]
            }
        }
    }
}
