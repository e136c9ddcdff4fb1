import Foundation
import Testing

extension LabTests {
    @Suite("README.md, on a machine with systemd")
    struct ReadmeTests {
        private static let checkout = "/root/rpcwarden"

        /// Installs the checkout in its state after the build, with the tests' own binary and its libraries.
        private func prepare(_ machine: Machine, _ binary: String) throws {
            let libraries = try run(["ldd", binary]).text.matches(of: /=> (\/\S*swift\S*\.so\S*)/).map { String($0.1) }
            let units = Recipe.root.appendingPathComponent("systemd").path
            try machine.copy([binary, units] + libraries)
            try machine.shell(
                """
                mkdir -p .build/release
                cp \(binary) .build/release/rpcwarden
                cp -r \(units) systemd
                """, in: try folder(machine))
            try machine.shell("systemctl start rpc-statd; ip route add 10.20.0.0/16 dev eth0")
            // A workstation in the policy; 10.99.0.2 is a stranger.
            _ = try machine.outside("ip", "address", "add", "10.20.0.7/32", "dev", "eth0")
        }

        private func folder(_ machine: Machine) throws -> String {
            try machine.shell("mkdir -p \(Self.checkout)")
            return Self.checkout
        }

        private func becomeWorkstation(_ machine: Machine, _ source: String) throws {
            _ = try machine.outside("ip", "route", "replace", "10.99.0.0/24", "dev", "eth0", "src", source)
        }

        private func mayAsk(_ machine: Machine, from source: String) throws -> Bool {
            try becomeWorkstation(machine, source)
            return try machine.outside("rpcinfo", "-T", "tcp", "10.99.0.1", "status", "1").isSuccess
        }

        @Test("its ten minutes, block by block: from a stock rpcbind to rpcwarden enforcing, and back")
        func adoption() async throws {
            let machine = try Machine()
            defer { machine.stop() }
            try prepare(machine, Lab.binaryPath)
            func block(_ name: String) throws -> Output {
                try machine.inside("sh", "-c", "cd \(Self.checkout)\n" + Recipe(name).text)
            }
            func succeeds(_ name: String) throws -> String {
                try machine.shell(Recipe(name).text, in: Self.checkout)
            }

            #expect(try mayAsk(machine, from: "10.99.0.2"), "a stock rpcbind answers everybody")
            _ = try succeeds("readme install")
            let look = try block("readme look")
            #expect(look.text.contains("rpcbind-exposed") && look.text.contains("rpcbind.socket"), "\(look)")
            #expect(try mayAsk(machine, from: "10.99.0.2"), "nothing has changed")

            #expect(look.text.hasSuffix("nothing was changed: this is a dry run\n"), "\(look)")
            #expect(try succeeds("readme setup").contains("\nNext: write rules into /etc/rpcwarden/policy.d."))
            let early = try machine.inside("rpcwarden", "learn")
            #expect(early.status == 2 && early.errors.contains("let clients mount"), "\(early)")
            #expect(try mayAsk(machine, from: "10.99.0.2"), "it observes")
            let policy = try Recipe("readme policy")
            try machine.shell("cat >\(policy.path) <<'EOF'\n\(policy.text)\nEOF")
            #expect(try succeeds("readme check").contains("workstations mount NFSv3"))
            let denials = try machine.shell("rpcwarden denials")
            #expect(denials.contains("10.99.0.2"), "\(denials)")
            let learned = try succeeds("operations learn")
            #expect(try machine.inside("rpcwarden", "learn").errors.isEmpty, "its own warnings are no events")
            #expect(learned.contains("10.99.0.2") && learned.contains("status"), "\(learned)")

            _ = try succeeds("readme enforce")
            #expect(try !mayAsk(machine, from: "10.99.0.2"), "it enforces")
            #expect(try mayAsk(machine, from: "10.20.0.7"))
            let grants = try machine.shell("rpcwarden grants")
            #expect(grants.contains("10.20.0.7") && grants.contains("status"), "\(grants)")

            try machine.shell(
                """
                nft add table inet filter
                nft 'add chain inet filter input { type filter hook input priority filter; policy drop; }'
                nft add rule inet filter input iif lo accept
                nft add rule inet filter input meta l4proto tcp th dport 111 accept
                """)
            #expect(try !mayAsk(machine, from: "10.20.0.7"), "their drop comes after our accept")
            _ = try succeeds("readme mark")
            #expect(try mayAsk(machine, from: "10.20.0.7"))

            let daily = try succeeds("readme daily")
            #expect(daily.contains("enforce") && daily.contains("guarded_port"), "\(daily)")
            let denial = try #require(daily.split(separator: "\n").last { $0.contains("denied 10.99.0.2") }, "\(daily)")
            let message = try #require(denial.split(separator: "]: ", maxSplits: 1).last, "\(denial)")
            let readme = try String(contentsOf: Recipe.root.appendingPathComponent("README.md"), encoding: .utf8)
            #expect(readme.contains(message), "the journal tells of the stranger as README shows it: \(denial)")
            #expect(try !machine.shell("rpcwarden grants").contains("10.20.0.7"), "revoked")
            #expect(try block("readme cis").text.contains("enabled"))
            let catalog = try succeeds("operations catalog")
            #expect(catalog.contains("Subject: ") && catalog.contains("Defined-By: rpcwarden"), "\(catalog)")

            let report = try succeeds("operations report")
            for text in [
                "10.20.0.7", "stranger", "observe", "CIS 2.1.12", "exception to document", "mode changed from",
            ] {
                #expect(report.contains(text), "\(text): \(report)")
            }
            try machine.shell("mkdir logs; journalctl -o json -u rpcwarden >logs/server.jsonl", in: Self.checkout)
            _ = try succeeds("operations monthly")
            #expect(try machine.shell("cat 2026-11.html", in: Self.checkout).contains("10.20.0.7"))

            _ = try succeeds("operations open")
            #expect(try !machine.shell("nft list tables").contains("rpcwarden"), "opened on purpose")
            try machine.shell("systemctl start rpcwarden.service")
            #expect(try !mayAsk(machine, from: "10.99.0.2"), "guarded again")

            try machine.shell("rpcwarden setup --undo; nft delete table inet filter")
            #expect(try mayAsk(machine, from: "10.99.0.2"), "the stock rpcbind is back")
            #expect(try !machine.shell("nft list tables").contains("rpcwarden"))
        }
    }
}
