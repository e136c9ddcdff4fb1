/// The texts of the files that `setup --gateway` writes.
extension SetupFiles {
    public static let gatewayConfigurationText = """
        # yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden.schema.json
        # Written by `rpcwarden setup --gateway`; every other key has its default.
        # `rpcwarden denials` lists the calls that enforce would deny. Then set mode: enforce, and run `rpcwarden reload`.
        mode: observe

        # Name your servers: remove the # below, and change the example. Then run `rpcwarden check`, and
        # `rpcwarden setup --gateway` once more, which starts rpcwarden.
        #gateway:
        #  servers:
        #    - name: filer1             # a word; rules name the server by it
        #      address: [192.0.2.10]    # every address by which clients know the server

        """

    public static let gatewayPolicyText = """
        # yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden-policy.schema.json
        # Written by `rpcwarden setup --gateway`. It has no rules yet, so enforce mode would deny every call; observe mode
        # only logs them. Rules for a server have `at`; a rule without it is about this host. For example:
        #
        #   clients:
        #     workstations: [10.20.0.0/16, "2001:db8:20::/48"]
        #   rules:
        #     - name: workstations use NFS of filer1
        #       from: [workstations]
        #       to: [nfs]
        #       at: [filer1]
        #       open: always            # NFS clients look nfs up only once, at the mount
        #     - name: workstations mount NFSv3 of filer1
        #       from: [workstations]
        #       to: [mountd, nlockmgr, status, rquotad]
        #       at: [filer1]
        #
        # `rpcwarden import-exports --at filer1 FILE` drafts such rules from a copy of the server's /etc/exports.
        rules: []

        """

    public static let guardDropInText = """
        # Written by `rpcwarden setup --gateway`.
        [Service]
        # When the host goes down, units of firewalls flush the whole ruleset, and rpcwarden's table with it, while the
        # network still works. From then on this host forwards nothing.
        ExecStop=-+/bin/sh -c 'test "$$(systemctl is-system-running)" = stopping || exit 0; for each in ipv4/ip_forward ipv6/conf/all/forwarding; do test ! -e /proc/sys/net/$$each || echo 0 >/proc/sys/net/$$each; done'

        """

    /// - Parameter listens: whether the sockets have to be named, too, because the unit has others.
    public static func gatewayDropInText(listens: Bool) -> String {
        let text = """
            # Written by `rpcwarden setup --gateway`.
            [Socket]
            # Calls to the servers behind this host reach these sockets with the servers' addresses.
            Transparent=yes

            """
        guard listens else { return text }
        return text + "# Of the unit's own sockets, not all are at every address.\nListenStream=\nListenDatagram=\n"
            + SocketUnit.everywhere.map { listen in
                "\(listen.hasPrefix("tcp") ? "ListenStream" : "ListenDatagram")=\(listen.dropFirst(4))\n"
            }.joined() + "BindIPv6Only=ipv6-only\n"
    }
}
