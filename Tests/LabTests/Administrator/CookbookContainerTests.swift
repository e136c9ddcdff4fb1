import Foundation
import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: containers")
    struct CookbookContainerTests {
        /// Sets up the parts of a container engine: namespaces, a volume for /run, and a routed address.
        /// - Returns: the container's first process.
        private func startContainer(_ lab: Lab) async throws -> String {
            try lab.shell("mkdir -p /srv/nfs /srv/nfs-run/rpcbind /srv/nfs-run/ganesha; echo hello >/srv/nfs/hello.txt")
            try lab.shell("chown _rpc /srv/nfs-run/rpcbind; echo 1 >/proc/sys/net/ipv4/ip_forward")
            let inside = """
                mount -t proc proc /proc; mount --bind /srv/nfs-run /run; ip link set lo up
                exec sh /usr/local/sbin/nfs-entry
                """
            // The container ends with this shell, which the lab ends.
            let engine = """
                setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child sh -c '\(inside)' & wait
                """
            try lab.spawn(.server, "container", ["sh", "-c", engine])
            let pid = try await eventually("the container runs") {
                let parent = try lab.exec(.server, "pgrep", "-P", "\(try lab.pid("container"))").lines.first
                return try parent.flatMap { try lab.exec(.server, "pgrep", "-P", $0).lines.first }
            }
            try lab.shell(
                """
                ip link add container type veth peer name eth0 netns \(pid)
                ip address add 10.77.9.1/24 dev container
                ip link set container up
                nsenter --target \(pid) --net ip address add 10.77.9.2/24 dev eth0
                nsenter --target \(pid) --net ip link set eth0 up
                nsenter --target \(pid) --net ip route add default via 10.77.9.1
                """)
            return pid
        }

        @Test("an NFS server in a container, rpcwarden on the host with two capabilities", .lab())
        func container() async throws {
            let lab = try Lab.current
            try lab.furnish()
            try lab.put("ganesha conf")
            try lab.put("container entry")
            try lab.put("container settings")
            try lab.put("container policy")
            let pid = try await startContainer(lab)
            try lab.runs("container user")
            let serve = try Recipe("container serve").text
            try lab.spawn(
                .server, "daemon",
                ["env", "pid=\(pid)", "sh", "-c", "setpriv --pdeathsig KILL sh -c '\(serve)' & wait"])
            let look = try await eventually("the services are registered and guarded", within: .seconds(20)) {
                let output = try lab.exec(.server, ["env", "pid=\(pid)", "sh", "-ec", Recipe("container look").text])
                // The command reads one source after the other, and the services start meanwhile.
                let isThere = ["mountd", "tcp . 2049", "rpcbind answers"].allSatisfy(output.text.contains)
                return output.isSuccess && isThere ? output.text : nil
            }
            #expect(look.contains("mountd") && look.contains("Nothing is wrong."), "\(look)")

            // The host's own daemon saves its guard in /var/lib/rpcwarden/daemon.
            try await eventually("it is saved in a folder of its own", within: .seconds(20)) {
                try lab.exec(.server, "cat", "/var/lib/rpcwarden/container/guard").text.contains("guarded tcp/2049 ")
            }
            #expect(try !lab.exec(.server, "test", "-e", "\(lab.state)/guard.server/guard").isSuccess)

            let seen = try lab.runs("container client", on: .approved)
            #expect(seen.contains("hello.txt") && seen.contains("/export"), "\(seen)")
            try lab.expectStrangerGetsNothing(at: [2049], of: "10.77.9.2")
            #expect(try !lab.shell("nft list tables").contains("rpcwarden"), "the host's own namespace has no table")
        }
    }
}
