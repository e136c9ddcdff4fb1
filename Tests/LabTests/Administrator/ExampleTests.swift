import Foundation
import Testing

extension LabTests {
    @Suite("rpcwarden(8) and rpcwarden-fleet(8): the examples print what the pages show, one after the other")
    struct ExampleTests {
        /// An NFS server at 10.20.0.1, a workstation at 10.20.0.7, and a stranger at 10.99.0.2.
        private static func prepare(_ lab: Lab) async throws {
            try lab.furnish()
            for host in [Lab.Host.approved, .stranger] { try lab.furnish(host) }
            try lab.setUp()
            try lab.put("readme policy")
            try lab.put("ganesha conf")
            try lab.shell(
                """
                mkdir -p /srv/nfs \(lab.state)/examples/nfs
                systemctl restart rpc-statd nfs-ganesha
                rm /etc/rpcwarden/policy.d/start.yaml
                cp /etc/rpcwarden/policy.d/nfs.yaml \(lab.state)/examples/nfs
                sed '5s/mountd/mountdd/; 8s/workstations/workstation/' /etc/rpcwarden/policy.d/nfs.yaml \
                  >\(lab.state)/examples/draft.yaml
                minisign -GW -p \(lab.state)/examples/fleet.pub -s \(lab.state)/examples/fleet.key
                python3 \(Lab.path("Tests/ReferenceTests/mixedlog.py")) 6000 >\(lab.state)/examples/filer1.jsonl
                ip address add 10.20.0.1/32 dev lo
                ip route add 10.20.0.7 via 10.77.1.2
                ip route add 10.99.0.2 via 10.77.4.2
                rpcwarden reload
                """)
            for (host, address, server) in [
                (Lab.Host.approved, "10.20.0.7", "10.77.1.1"), (.stranger, "10.99.0.2", "10.77.4.1"),
            ] {
                let routes = "ip address add \(address)/32 dev lo; ip route add 10.20.0.1 via \(server) src \(address)"
                #expect(try lab.exec(host, "sh", "-ec", routes).isSuccess)
            }
            try await eventually("the services are guarded") {
                try lab.exec(.server, "rpcwarden", "registry").text.contains(/status \(100024\) .* yes +yes +yes/)
            }
        }

        @Test("on a server, a client and a stranger", .lab())
        func server() async throws {
            let lab = try Lab.current
            try await Self.prepare(lab)
            let examples = try ManualExample.all(of: "rpcwarden.8", on: ["server", "approved", "stranger"])
            #expect(examples.count >= 20)
            for example in examples {
                let host = try #require(Lab.Host(rawValue: example.host))
                let folder = host == .server ? "\(lab.state)/examples" : lab.state
                example.expect(try lab.exec(host, ["sh", "-c", example.script(in: folder)], seconds: 60))
            }
        }

        @Test("on a machine with systemd, whose rpcbind is a stock one")
        func machine() throws {
            let machine = try Machine()
            defer { machine.stop() }
            try machine.install(Lab.binaryPath)
            try machine.shell(
                """
                printf '/srv/nfs 10.20.0.0/16(rw)\\n/srv/home *.example.org(rw)\\n' >/etc/exports
                systemctl start rpc-statd
                ip address add 10.20.0.1/32 dev lo
                ip route add 10.20.0.0/16 dev eth0
                """)
            _ = try machine.outside("ip", "address", "add", "10.20.0.7/32", "dev", "eth0")
            _ = try machine.outside("ip", "route", "add", "10.20.0.1", "via", "10.99.0.1", "src", "10.20.0.7")
            let examples = try ManualExample.all(of: "rpcwarden.8", on: ["machine"])
            #expect(examples.count >= 5)
            for example in examples {
                if example.command.hasPrefix("rpcwarden learn") {
                    let output = try machine.outside("rpcinfo", "-T", "tcp", "10.20.0.1", "status", "1")
                    #expect(output.isSuccess, "\(output)")
                }
                example.expect(try machine.inside("sh", "-c", example.script(in: "/tmp")))
            }
        }

        @Test("on a node of a fleet", .lab())
        func node() async throws {
            let lab = try Lab.current
            try lab.furnish()
            let (first, _, _) = try await lab.fleetPair()
            try lab.shell(
                """
                mkdir -p \(lab.state)/examples/nfs \(lab.state)/examples/staging
                cd \(lab.state)/examples
                cp \(first.configuration) /etc/rpcwarden/rpcwarden.yaml
                cp \(first.fleetConfiguration) /etc/rpcwarden/fleet.yaml
                minisign -GW -p fleet.pub -s fleet.key
                for group in nfs staging; do
                  printf 'rules:\\n- {name: they use NFS, from: [10.78.0.0/16], to: [nfs], over: [tcp], open: always}\\n' \
                    >$group/nfs.yaml
                done
                printf -- '- {name: they use NIS, from: [10.78.0.0/16], to: [ypserv]}\\n' >>staging/nfs.yaml
                rpcwarden policy sign staging --key fleet.key --serial 7 --fleet lab >staging.bundle
                rpcwarden-fleet publish --group staging --keys fleet.pub staging.bundle
                """)
            let client = "--from 10.78.0.7"
            _ = try lab.ask(.approved, first.service().getPort, to: "10.77.8.11", over: .tcp, options: client)
            try await eventually("the grant is told") {
                try lab.exec(.server, "rpcwarden-fleet", "grants").text.contains("10.78.0.7")
            }
            let examples = try ["rpcwarden-fleet.8", "rpcwarden.8"].flatMap {
                try ManualExample.all(of: $0, on: ["node"])
            }
            #expect(examples.count >= 10)
            for example in examples {
                let script = example.script(in: "\(lab.state)/examples")
                example.expect(try lab.exec(.server, ["sh", "-c", script], seconds: 60))
            }
        }
    }
}
