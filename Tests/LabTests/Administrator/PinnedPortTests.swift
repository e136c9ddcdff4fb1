import Testing

extension LabTests {
    @Suite("setup --pin, on a machine with systemd")
    struct PinnedPortTests {
        private static let restart =
            "systemctl try-restart nfs-mountd.service rpc-statd.service quotarpc.service"
        private static let pinned: [Substring: Set<Substring>] = [
            "100005": ["20048"], "100024": ["32765"], "100011": ["32764"],
        ]

        /// Debian's unit of rpc.mountd needs an nfsd; that of rpc.rquotad an export with quotas.
        private func start(_ machine: Machine) throws {
            try machine.copyProgram("/usr/sbin/rpc.mountd")
            try machine.shell(
                """
                printf '[Service]\\nExecStart=/usr/sbin/rpc.mountd -F\\n' >/etc/systemd/system/nfs-mountd.service
                echo '/srv 192.0.2.0/24(ro)' >/etc/exports
                echo 'none /mnt tmpfs noauto,usrquota 0 0' >>/etc/fstab
                systemctl daemon-reload
                systemctl start nfs-mountd.service rpc-statd.service quotarpc.service
                """)
        }

        /// The ports of each program, from rpcbind.
        private func ports(_ machine: Machine) throws -> [Substring: Set<Substring>] {
            let lines = try machine.shell("rpcinfo -p").split(separator: "\n").map { $0.split(separator: " ") }
            let rows = lines.filter { $0.count > 3 && Self.pinned[$0[0]] != nil }.map { ($0[0], Set([$0[3]])) }
            return Dictionary(rows) { $0.union($1) }
        }

        @Test("rpc.mountd, rpc.statd and rpc.rquotad listen at their ports after a restart, and no more after --undo")
        func story() async throws {
            let machine = try Machine()
            defer { machine.stop() }
            try machine.install(Lab.binaryPath)
            try start(machine)
            try machine.shell("rpcwarden setup")
            let before = try await eventually("all are registered") {
                let found = try ports(machine)
                return found.count == Self.pinned.count ? found : nil
            }
            #expect(before.allSatisfy { Self.pinned[$0.key] != $0.value }, "\(before)")
            #expect(
                try machine.shell("rpcwarden doctor").contains(
                    "no file sets a port of rpc.mountd, rpc.statd, rpc.rquotad"))

            #expect(try !machine.shell("rpcwarden setup --pin --dry-run").contains("done:"))
            #expect(try !machine.inside("test", "-e", "/etc/nfs.conf.d/rpcwarden.conf").isSuccess)
            let done = try machine.shell("rpcwarden setup --pin")
            #expect(done.contains(Self.restart), "\(done)")
            #expect(try ports(machine) == before, "it restarts none of them")
            try machine.shell(Self.restart)
            try await eventually("they are at their ports") { try ports(machine) == Self.pinned }
            #expect(try !machine.shell("rpcwarden setup --pin").contains("done:"))
            #expect(try !machine.shell("rpcwarden doctor").contains("unpinned-ports"))
            #expect(
                try machine.shell("cat /etc/modprobe.d/rpcwarden-lockd.conf").contains(
                    "options lockd nlm_tcpport=32767 nlm_udpport=32767"))
            let asked = try machine.shell("nfsconf --get lockd port; nfsconf --get lockd udp-port")
            #expect(asked == "32767\n32767\n", "nfs-utils reads the file")

            try machine.shell("rpcwarden setup --pin --undo; \(Self.restart)")
            try await eventually("they choose their ports again") {
                let now = try ports(machine)
                return now.count == Self.pinned.count && now.allSatisfy { Self.pinned[$0.key] != $0.value }
            }
            #expect(try machine.shell("rpcwarden status").contains("observe"), "rpcwarden stays where it is")

            try machine.shell(
                """
                mkdir -p /root/image/usr/sbin /root/image/etc/default
                touch /root/image/usr/sbin/rpc.rquotad
                echo ID=debian >/root/image/etc/os-release
                printf '#\\033[31m\\nRPCRQUOTADOPTS=\\n' >/root/image/etc/default/quota
                """)
            let shown = try machine.shell("rpcwarden setup --pin --dry-run --root /root/image")
            #expect(shown.contains("#\\u{1b}[31m") && shown.contains("-p 32764"), "\(shown)")
        }
    }
}
