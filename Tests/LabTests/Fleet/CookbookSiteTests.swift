import Foundation
import Portmapper
import Testing

extension LabTests {
    /// The chapters about three etcd nodes. The authority and the publisher are on the first of them.
    @Suite("docs/COOKBOOK.md: a site with three etcd nodes")
    struct CookbookSiteTests {
        private static let nodes: [(host: Lab.Host, name: String)] = [(.server, "nas1"), (.spare, "nas2")]
        private static let members: [(host: Lab.Host, name: String, address: String)] = [
            (.approved, "etcd1", "10.77.1.2"), (.limited, "etcd2", "10.77.3.2"), (.stranger, "etcd3", "10.77.4.2"),
        ]
        private static let admin = Lab.Host.approved
        private static let echo = Echo()

        private func prepare(_ lab: Lab) async throws {
            try lab.control("spare")
            try lab.shell("sysctl -w net.ipv4.ip_forward=1")
            _ = try lab.exec(.spare, "ip", "route", "add", "10.77.0.0/16", "via", "10.77.8.11")
            for member in Self.members { try lab.furnish(member.host) }
            try lab.runs("site certificates", on: Self.admin)
            for member in Self.members {
                try copyCertificates(lab, to: member.host, member.name, "/etc/etcd/etcd")
                try copy(lab, "/srv/authority/\(member.name).key", to: "/etc/etcd/etcd.key", on: member.host)
                try copy(lab, "/srv/authority/ca.pem", to: "/etc/etcd/ca.pem", on: member.host)
                let recipe = try Recipe("site member")
                let lines = recipe.text.split(separator: "\n").map(String.init).map { line in
                    line.hasPrefix("ETCD_INITIAL_CLUSTER=")
                        ? line
                        : line.replacing("etcd1", with: member.name).replacing("10.77.1.2", with: member.address)
                }
                try lab.install(lines.joined(separator: "\n") + "\n", on: member.host, at: recipe.path)
                try lab.runs("site member start", on: member.host)
            }
            try await eventually("the members are one") {
                try etcdctl(lab, "endpoint", "health", "--cluster").isSuccess
            }
            try lab.runs("site users", on: Self.admin)
            try lab.put("fleet policy", on: Self.admin)
            try lab.runs("fleet publisher", on: Self.admin)
            for node in Self.nodes { try join(lab, node.host, node.name) }
            for node in Self.nodes {
                try await eventually("\(node.name) is in step") { try isSynced(lab, node.host) }
            }
        }

        private func join(_ lab: Lab, _ host: Lab.Host, _ name: String) throws {
            try lab.furnish(host)
            try lab.setUp(host)
            let folder = "/etc/rpcwarden/fleet"
            try copyCertificates(lab, to: host, name, "\(folder)/node")
            try copy(lab, "/srv/authority/\(name).key", to: "\(folder)/node.key", on: host)
            try copy(lab, "/srv/authority/ca.pem", to: "\(folder)/ca.pem", on: host)
            try copy(lab, "/etc/etcd/\(name).password", to: "\(folder)/password", on: host)
            try copy(lab, "/srv/fleet/policy.pub", to: "\(folder)/policy.pub", on: host)
            let fleet = try Recipe("site fleet")
            try lab.install(fleet.text.replacing("nas1", with: name) + "\n", on: host, at: fleet.path)
            try lab.put("fleet ceiling", on: host)
            let settings = try Recipe("site settings")
            try lab.install(
                settings.text.replacing("group: nfs", with: "group: \(name == "nas2" ? "canary" : "nfs")")
                    + "\naudit: {to: file, file: \(lab.state)/audit-\(name).jsonl}\n", on: host, at: settings.path)
            try lab.install(
                "rules: [{name: own, from: [10.77.8.0/24], to: [\(Self.echo.program)]}]\n", on: host,
                at: "/etc/rpcwarden/policy.d/own.yaml")
            try lab.runs("site node start", on: host)
        }

        private func copy(_ lab: Lab, _ path: String, to other: String, on host: Lab.Host) throws {
            try lab.copy(path, from: Self.admin, to: other, on: host)
        }

        private func copyCertificates(_ lab: Lab, to host: Lab.Host, _ name: String, _ path: String) throws {
            try copy(lab, "/srv/authority/\(name).pem", to: "\(path).pem", on: host)
        }

        /// As a member, or with a user's password.
        private func etcdctl(_ lab: Lab, as user: String? = nil, _ words: String...) throws -> Output {
            let login = user.map { " --user $0:$(cat /etc/etcd/\($0).password)".replacing("$0", with: $0) } ?? ""
            return try lab.exec(
                Self.admin, "sh", "-c",
                "cd /etc/etcd; etcdctl --endpoints https://10.77.1.2:2379 --cacert ca.pem --cert etcd.pem "
                    + "--key etcd.key\(login) \(words.joined(separator: " "))")
        }

        private func isSynced(_ lab: Lab, _ host: Lab.Host) throws -> Bool {
            try lab.exec(host, "rpcwarden-fleet", "status", "--synced").isSuccess
        }

        private func serial(_ lab: Lab, _ host: Lab.Host) throws -> Int {
            let text = try lab.exec(host, "rpcwarden", "status", "--json").text
            return try JSONDecoder().decode(StatusReport.self, from: Data(text.utf8)).fleet?.serial ?? 0
        }

        private func opens(_ lab: Lab, _ host: Lab.Host) throws -> Bool {
            try lab.exec(host, "nft", "list", "set", "inet", "rpcwarden", "granted4").text
                .contains("10.77.8.2 . tcp . \(Self.echo.port)")
        }

        /// The publisher's files, and the first policy of both groups.
        private func publish(_ lab: Lab) async throws {
            for file in ["ca.pem", "publisher.pem", "publisher.key"] {
                try copy(lab, "/srv/authority/\(file)", to: "/srv/fleet/\(file)", on: Self.admin)
            }
            try copy(lab, "/etc/etcd/publisher.password", to: "/srv/fleet/publisher.password", on: Self.admin)
            let secret = try lab.exec(Self.admin, "sh", "-c", "chmod 600 /srv/fleet/publisher.*")
            #expect(secret.isSuccess)
            try lab.put("publish fleet", on: Self.admin)
            try lab.runs("publish canary", on: Self.admin)
            try await eventually("the canary has it") { try serial(lab, .spare) == 1 }
            #expect(try serial(lab, .server) == 0)
            #expect(try lab.runs("publish all", on: Self.admin).contains("are the same"))
            try await eventually("the others have it") { try serial(lab, .server) == 1 }
        }

        /// A grant at the first node, for the approved client.
        private func grant(_ lab: Lab) async throws {
            for node in Self.nodes {
                var echo = Self.echo
                echo.host = node.host
                try await lab.start(echo)
            }
            let call = Self.echo.getPort
            let answer = try lab.ask(.approved, call, to: "10.77.8.11", over: .tcp, options: "--from 10.77.8.2")
            #expect(answer.result(of: call) == .port(UInt32(Self.echo.port)))
        }

        /// Who, which key, and whether it may be written.
        private static let writes = [
            ("nas1", "quarantines/nas1/x", true), ("nas1", "quarantines/nas2/x", false),
            ("nas1", "nodes/nas2/status", false), ("nas1", "pairs/nas/grants/nas2/x", false),
            ("nas1", "pairs/nas/ended/nas2/x", false), ("nas1", "policy/nfs/current", false),
            ("nas1", "orders/x", false), ("publisher", "orders/x", true),
            ("publisher", "quarantines/nas1/x", false),
        ]

        @Test(
            "one member may fail; a node writes its own keys alone; maintenance, and targets for Prometheus", .lab())
        func site() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            let look = try lab.runs("site look")
            #expect(look.contains("nas1") && look.contains("nas2") && look.contains("connected"), "\(look)")
            let prefix = "/rpcwarden/v1/lab"
            for (user, key, isPermitted) in Self.writes {
                let output = try etcdctl(lab, as: user, "put", "\(prefix)/\(key)", "x")
                #expect(output.isSuccess == isPermitted, "\(user) \(key): \(output)")
                if !isPermitted { #expect(output.errors.contains("permission denied"), "\(output)") }
            }
            #expect(try etcdctl(lab, as: "nas1", "get", "/rpcwarden/v1/other/x").errors.contains("permission denied"))
            let nobody = try etcdctl(lab, "get", "/rpcwarden")
            #expect(nobody.errors.contains("permission denied"), "\(nobody)")

            try await grant(lab)
            try await eventually("the grant is at the other node") { try opens(lab, .spare) }
            let member = Self.members[0]
            try lab.systemctl("stop etcd", on: member.host)
            try await eventually("the nodes go on with two members", within: .seconds(60)) {
                try isSynced(lab, .server) && isSynced(lab, .spare)
            }
            try lab.systemctl("start etcd", on: member.host)
            try await eventually("it is back") { try etcdctl(lab, as: "root", "endpoint", "health").isSuccess }
            let table = try lab.runs("site maintenance", on: Self.admin)
            #expect(table.matches(of: /Finished defragmenting/).count == 3 && !table.contains("alarm:"), "\(table)")

            try lab.runs("site prometheus")
            struct Target: Decodable {
                var targets: [String]
                var labels: [String: String]
            }
            let text = try lab.exec(.server, "cat", "/etc/prometheus/rpcwarden.json").text
            let targets = try JSONDecoder().decode([Target].self, from: Data(text.utf8))
            #expect(targets.map(\.targets) == [["nas1:9811"], ["nas2:9811"]])
            #expect(targets.first?.labels == ["node": "nas1", "mode": "enforce"])
        }

        @Test("a policy comes to a group first, then to the others; an order ends a client's grants everywhere", .lab())
        func publishing() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            try await publish(lab)
            let explained = try lab.exec(.spare, "rpcwarden", "explain", "--client", "10.77.1.2", "--program", "nfs")
            #expect(explained.text.contains("canary.bundle:policy.yaml:5"), "\(explained)")
            let again = try lab.exec(
                Self.admin, "sh", "-c",
                "cd /srv/fleet; rpcwarden-fleet publish --config fleet.yaml --group nfs nfs.bundle")
            #expect(again.status == 1 && again.errors.contains("is not above 1"), "\(again)")

            try await grant(lab)
            try await eventually("the grant is at both nodes") { try opens(lab, .spare) && (try opens(lab, .server)) }
            let recipe = try Recipe("publish order")
            let order = recipe.text.replacing("10.77.1.2", with: "10.77.8.2")
            let given = try lab.exec(Self.admin, "sh", "-ec", order)
            #expect(given.isSuccess, "\(given)")
            try await eventually("the grants have ended") {
                try !opens(lab, .spare) && (try !opens(lab, .server))
            }
            try lab.runs("publish order", on: Self.admin)
        }

        @Test("keys, a password and the authority change while everything goes on", .lab())
        func rotation() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            try await publish(lab)

            try lab.runs("rotate key", on: Self.admin)
            for node in Self.nodes {
                try copy(lab, "/srv/fleet/policy-2.pub", to: "/etc/rpcwarden/fleet/policy-2.pub", on: node.host)
                try lab.runs("rotate key both", on: node.host)
            }
            try lab.runs("rotate key use", on: Self.admin)
            try await eventually("the policy of the new key is in force") { try serial(lab, .server) == 2 }
            try lab.runs("rotate key old")
            #expect(try serial(lab, .server) == 2)
            #expect(try lab.exec(.server, "rpcwarden", "check").isSuccess)

            try lab.runs("rotate password", on: Self.admin)
            try copy(lab, "/etc/etcd/nas1.password", to: "/etc/rpcwarden/fleet/password", on: .server)
            try lab.runs("rotate password node")
            try await eventually("nas1 is in step") { try isSynced(lab, .server) }

            try lab.runs("rotate authority", on: Self.admin)
            for round in ["both", "new", "ca"] {
                for member in Self.members {
                    switch round {
                    case "both": try copy(lab, "/srv/authority/both.pem", to: "/etc/etcd/ca.pem", on: member.host)
                    case "new": try copyCertificates(lab, to: member.host, member.name, "/etc/etcd/etcd")
                    default: try copy(lab, "/srv/authority/ca.pem", to: "/etc/etcd/ca.pem", on: member.host)
                    }
                    try lab.runs("rotate authority member", on: member.host)
                    try await eventually("the members are one again", within: .seconds(60)) {
                        try etcdctl(lab, as: "root", "endpoint", "health", "--cluster").isSuccess
                    }
                }
                for node in Self.nodes {
                    let folder = "/etc/rpcwarden/fleet"
                    switch round {
                    case "both": try copy(lab, "/srv/authority/both.pem", to: "\(folder)/ca.pem", on: node.host)
                    case "new": try copyCertificates(lab, to: node.host, node.name, "\(folder)/node")
                    default: try copy(lab, "/srv/authority/ca.pem", to: "\(folder)/ca.pem", on: node.host)
                    }
                    try lab.runs("rotate authority node", on: node.host)
                    try await eventually("\(node.name) is in step, \(round)", within: .seconds(60)) {
                        try isSynced(lab, node.host)
                    }
                }
            }
            let old = try lab.exec(
                Self.admin, "sh", "-c",
                "curl -sS --cacert /srv/authority/old.pem --cert /etc/etcd/etcd.pem --key /etc/etcd/etcd.key "
                    + "https://10.77.1.2:2379/version")
            #expect(!old.isSuccess, "nothing trusts the old authority: \(old)")
        }

        @Test("an old backup: a lower serial is refused, no grant ends, and nodes write their own again", .lab())
        func restored() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            try await publish(lab)
            try lab.runs("restore backup", on: Self.admin)
            // What the backup doesn't know.
            let second = try lab.exec(
                Self.admin, "sh", "-ec",
                """
                cd /srv/fleet
                rpcwarden policy sign nfs --key policy.key --serial 2 --fleet lab >second.bundle
                rpcwarden-fleet publish --config fleet.yaml --group nfs second.bundle
                """)
            #expect(second.isSuccess, "\(second)")
            try await eventually("serial 2 is in force") { try serial(lab, .server) == 2 }
            try await grant(lab)
            try await eventually("the grant is at both nodes") { try opens(lab, .spare) && (try opens(lab, .server)) }

            let snapshot = "\(lab.state)/fleet.snapshot"
            _ = try lab.exec(Self.admin, "cp", "/etc/etcd/fleet.snapshot", snapshot)
            for member in Self.members {
                if member.host != Self.admin {
                    _ = try lab.exec(member.host, "cp", snapshot, "/etc/etcd/fleet.snapshot")
                }
                try lab.systemctl("stop etcd", on: member.host)
            }
            for member in Self.members { try lab.runs("restore member", on: member.host) }
            try await eventually("the members are one again", within: .seconds(60)) {
                try etcdctl(lab, as: "root", "endpoint", "health", "--cluster").isSuccess
            }
            for node in Self.nodes {
                try await eventually("\(node.name) is in step", within: .seconds(60)) { try isSynced(lab, node.host) }
            }
            try await eventually("the old policy is refused, and told") {
                let log = FileManager.default.contents(atPath: "\(lab.state)/audit-nas1.jsonl") ?? Data()
                return String(decoding: log, as: UTF8.self).contains("serial 1 is older than 2")
            }
            #expect(try serial(lab, .server) == 2)
            #expect(try opens(lab, .spare) && opens(lab, .server))
            try await eventually("the grant is written again") {
                let prefix = "/rpcwarden/v1/lab/pairs/nas/grants/nas1"
                return try etcdctl(lab, as: "root", "get", "--prefix", "--keys-only", prefix).text
                    .contains("10.77.8.2")
            }
            let look = try lab.runs("restore look")
            #expect(look.contains("REFUSED") && look.contains("own"), "\(look)")
            let again = try lab.exec(
                Self.admin, "sh", "-ec",
                "cd /srv/fleet; rpcwarden-fleet publish --config fleet.yaml --group nfs second.bundle")
            #expect(again.isSuccess, "\(again)")
            try await eventually("nothing is refused any more") { try !lab.runs("restore look").contains("REFUSED") }
        }
    }
}
