/// Where setup puts things, and what it writes; paths are seen from the root.
public enum SetupFiles {
    public static let folder = "/etc/rpcwarden"
    public static let policyFolder = "/etc/rpcwarden/policy.d"
    public static let configuration = "/etc/rpcwarden/rpcwarden.yaml"
    public static let policy = "/etc/rpcwarden/policy.d/start.yaml"
    public static let dropInFolder = "/etc/systemd/system/rpcbind.socket.d"
    public static let dropIn = "/etc/systemd/system/rpcbind.socket.d/rpcwarden.conf"
    public static let recordFolder = "/var/lib/rpcwarden"
    public static let record = "/var/lib/rpcwarden/setup"
    public static let user = "rpcwarden"
    public static let units = ["rpcwarden.socket", "rpcwarden.service", "rpcwarden-guard.service"]

    /// Where the drop-in moves rpcbind.
    public static let rpcbindPort: UInt16 = 1111

    public static let configurationText = """
        # yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden.schema.json
        # Written by `rpcwarden setup`; every other key stands at its default.
        # Look at `rpcwarden denials` for what enforce would deny, then: mode: enforce, and `rpcwarden reload`.
        mode: observe

        """

    public static let policyText = """
        # yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden-policy.schema.json
        # Written by `rpcwarden setup`. It permits nobody anything: as long as rpcwarden.yaml says `mode: observe`, that
        # is only logged. Write your rules here, for example:
        #
        #   clients:
        #     workstations: [10.20.0.0/16, "2001:db8:20::/48"]
        #   rules:
        #     - name: workstations use NFS
        #       from: [workstations]
        #       to: [nfs]
        #       open: always            # NFS clients ask once, at the mount
        #     - name: workstations mount NFSv3
        #       from: [workstations]
        #       to: [mountd, nlockmgr, status, rquotad]
        rules: []

        """

    /// systemd/rpcbind.socket.d/rpcwarden.conf; a test holds them together.
    public static let dropInText = """
        # Moves rpcbind off port 111. All five sockets are needed: for an address that is not passed to it,
        # rpcbind opens port 111 by itself.
        [Socket]
        ListenStream=
        ListenDatagram=
        ListenStream=/run/rpcbind.sock
        ListenStream=127.0.0.1:1111
        ListenDatagram=127.0.0.1:1111
        ListenStream=[::1]:1111
        ListenDatagram=[::1]:1111
        BindIPv6Only=ipv6-only
        SocketMode=0666

        """

    public static let written = [configuration, policy, dropIn]
    public static let made = [folder, policyFolder, dropInFolder, recordFolder]
}
