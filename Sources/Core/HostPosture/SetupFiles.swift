/// The paths and texts of the files that setup writes; paths are relative to the root.
public enum SetupFiles {
    public static let folder = "/etc/rpcwarden"
    public static let policyFolder = "/etc/rpcwarden/policy.d"
    public static let configuration = "/etc/rpcwarden/rpcwarden.yaml"
    public static let policy = "/etc/rpcwarden/policy.d/start.yaml"
    public static let dropInName = "rpcwarden.conf"
    public static let socketDropInFolder = "/etc/systemd/system/rpcbind.socket.d"
    public static let socketDropIn = "/etc/systemd/system/rpcbind.socket.d/rpcwarden.conf"
    public static let serviceDropInFolder = "/etc/systemd/system/rpcbind.service.d"
    public static let serviceDropIn = "/etc/systemd/system/rpcbind.service.d/rpcwarden.conf"
    public static let dropIns = [socketDropIn, serviceDropIn]
    public static let gatewayDropInName = "rpcwarden-gateway.conf"
    public static let gatewayDropInFolder = "/etc/systemd/system/rpcwarden.socket.d"
    public static let gatewayDropIn = "/etc/systemd/system/rpcwarden.socket.d/rpcwarden-gateway.conf"
    public static let guardDropInFolder = "/etc/systemd/system/rpcwarden-guard.service.d"
    public static let guardDropIn = "/etc/systemd/system/rpcwarden-guard.service.d/rpcwarden-gateway.conf"
    public static let nfsConfFolder = "/etc/nfs.conf.d"
    public static let nfsConfPins = "/etc/nfs.conf.d/rpcwarden.conf"
    public static let modprobeFolder = "/etc/modprobe.d"
    public static let modprobePins = "/etc/modprobe.d/rpcwarden-lockd.conf"
    /// The options of rpc.rquotad: of Debian, then of Red Hat and SUSE.
    public static let rquotadFiles = ["/etc/default/quota", "/etc/sysconfig/rpc-rquotad"]
    /// The files that `setup --pin` writes as a whole.
    public static let pins = [nfsConfPins, modprobePins]
    public static let recordFolder = "/var/lib/rpcwarden"
    public static let record = "/var/lib/rpcwarden/setup"
    public static let user = "rpcwarden"
    public static let units = ["rpcwarden.socket", "rpcwarden.service", "rpcwarden-guard.service"]

    public static let configurationText = """
        # yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden.schema.json
        # Written by `rpcwarden setup`; every other key has its default.
        # `rpcwarden denials` lists the calls that enforce would deny. Then set mode: enforce, and run `rpcwarden reload`.
        mode: observe

        """

    public static let policyText = """
        # yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden-policy.schema.json
        # Written by `rpcwarden setup`. It has no rules yet, so enforce mode would deny every call; observe mode only logs
        # them. Write your rules here, for example:
        #
        #   clients:
        #     workstations: [10.20.0.0/16, "2001:db8:20::/48"]
        #   rules:
        #     - name: workstations use NFS
        #       from: [workstations]
        #       to: [nfs]
        #       open: always            # NFS clients look nfs up only once, at the mount
        #     - name: workstations mount NFSv3
        #       from: [workstations]
        #       to: [mountd, nlockmgr, status, rquotad]
        rules: []

        """

    /// The text of systemd/rpcbind.service.d/rpcwarden.conf; a test checks that both agree.
    public static let serviceDropInText = """
        # Runs rpcbind in an empty network of its own: it binds port 111 there, where no client can reach it. This host's
        # services and rpcwarden reach it through its unix socket.
        [Unit]
        # A failed start is tried again each second, however many connections arrive meanwhile.
        StartLimitIntervalSec=0

        [Service]
        PrivateNetwork=yes
        Restart=on-failure
        RestartSec=1

        """

    /// The text of systemd/rpcbind.socket.d/rpcwarden.conf, for the unix sockets of the distribution's unit.
    public static func socketDropInText(_ sockets: [String]) -> String {
        """
        # Only the unix sockets of the distribution's unit, and no port.
        [Unit]
        StartLimitIntervalSec=0

        [Socket]
        # Connections to an rpcbind that can't start must not make systemd close the socket.
        TriggerLimitIntervalSec=0
        ListenStream=
        ListenDatagram=

        """ + sockets.map { "ListenStream=\($0)\n" }.joined()
    }

    /// Used if rpcbind.socket names no path.
    public static let rpcbindSocket = "/run/rpcbind.sock"
    /// Its name in the abstract namespace, which libtirpc 1.3.5 and the kernel's NFS try before the path.
    public static let abstractSocket = "@/run/rpcbind.sock"

    /// The drop-in for rpcbind.socket that setup of 0.1.0 wrote.
    static let socketDropInTextOf010 = """
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

    public static let written =
        [configuration, policy] + dropIns + [gatewayDropIn, guardDropIn] + pins + rquotadFiles
    public static let made = [
        folder, policyFolder, socketDropInFolder, serviceDropInFolder, gatewayDropInFolder, guardDropInFolder,
        nfsConfFolder, modprobeFolder, recordFolder,
    ]
}
