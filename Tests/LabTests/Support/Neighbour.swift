import Testing

/// Another firewall in the lab's server, configured as in docs/COEXISTENCE.md.
enum Neighbour: String, CaseIterable, CustomTestStringConvertible {
    case nftables, iptables, ufw
    case firewalldPorts = "firewalld-ports"
    case firewalldMark = "firewalld-mark"

    var testDescription: String { rawValue }
    var recipe: Recipe { get throws { try Recipe(rawValue) } }

    /// A text common to the recipe's lines that accept packets admitted by rpcwarden.
    var passage: String {
        switch self {
        case .nftables, .iptables, .ufw: "0x2000"
        case .firewalldPorts: "--add-port"
        // Its direct rules alone change nothing: with nftables they are in a separate base chain.
        case .firewalldMark: "FirewallBackend"
        }
    }

    /// Settings for rpcwarden.yaml.
    var settings: String { get throws { self == .firewalldPorts ? try Recipe("firewalld-ports settings").text : "" } }

    /// Starts the firewall in its state before any rule for RPC; it drops unknown packets.
    func start(in lab: Lab) async throws {
        switch self {
        case .nftables: break
        case .iptables: for command in ["iptables", "ip6tables"] { try lab.shell(Self.dropByDefault(command)) }
        case .ufw: try lab.shell(Self.privateUFW(lab.state))
        case .firewalldPorts, .firewalldMark: try await lab.startFirewalld()
        }
    }

    func apply(_ text: String, in lab: Lab) throws {
        switch self {
        case .nftables:
            try lab.write(text, to: "nftables.conf")
            try lab.shell("nft -f \(lab.state)/nftables.conf")
        case .iptables, .ufw, .firewalldPorts, .firewalldMark: try lab.shell(text)
        }
    }

    /// Reloads the firewall, as its administrator does from time to time.
    func reload(in lab: Lab) throws {
        switch self {
        case .nftables: try lab.shell("nft -f \(lab.state)/nftables.conf")
        case .iptables:
            for command in ["iptables", "ip6tables"] {
                try lab.shell("\(command)-save >/run/saved; \(command) -F INPUT; \(command)-restore </run/saved")
            }
        case .ufw: try lab.shell("ufw reload; ufw disable; ufw --force enable")
        case .firewalldPorts, .firewalldMark: try lab.shell("firewall-cmd --reload")
        }
    }

    private static func dropByDefault(_ command: String) -> String {
        """
        \(command) -P INPUT DROP
        \(command) -A INPUT -i lo -j ACCEPT
        \(command) -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
        \(command) -A INPUT -p \(command == "iptables" ? "icmp" : "ipv6-icmp") -j ACCEPT
        """
    }

    /// Sets up the package's own rules in place of the host's, which are not changed.
    private static func privateUFW(_ state: String) -> String {
        """
        mkdir -p \(state)/ufw/applications.d
        cp /usr/share/ufw/*.rules /usr/share/ufw/ufw.conf \(state)/ufw
        : >\(state)/ufw/sysctl.conf
        printf '%s\\n' IPV6=yes DEFAULT_INPUT_POLICY=DROP DEFAULT_OUTPUT_POLICY=ACCEPT DEFAULT_FORWARD_POLICY=DROP \
            DEFAULT_APPLICATION_POLICY=SKIP MANAGE_BUILTINS=no IPT_MODULES= >\(state)/ufw.default
        mount --bind \(state)/ufw /etc/ufw
        mount --bind \(state)/ufw.default /etc/default/ufw
        ufw --force enable
        """
    }
}

extension Lab {
    /// Runs a script with /bin/sh in the server, in which every command must succeed.
    @discardableResult
    func shell(_ script: String) throws -> String {
        let output = try exec(.server, ["env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab-bus", "sh", "-ec", script])
        guard output.isSuccess else { throw CommandError(command: [script], output: output) }
        return output.text
    }

    /// Starts firewalld in Debian's configuration, without systemd, on its own message bus.
    func startFirewalld() async throws {
        try write(
            """
            <busconfig>
              <type>system</type>
              <listen>unix:path=/run/lab-bus</listen>
              <policy context="default">
                <allow own="*"/> <allow send_destination="*"/> <allow receive_sender="*"/>
              </policy>
            </busconfig>
            """, to: "bus.conf")
        try shell(
            """
            mkdir \(state)/firewalld
            printf '%s\\n' DefaultZone=public FirewallBackend=nftables >\(state)/firewalld/firewalld.conf
            mount --bind \(state)/firewalld /etc/firewalld
            """)
        try spawn(.server, "bus", ["dbus-daemon", "--config-file=\(state)/bus.conf", "--nofork", "--nopidfile"])
        try await eventually("the bus is there") { try exec(.server, "test", "-S", "/run/lab-bus").isSuccess }
        try spawn(
            .server, "firewalld",
            ["env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab-bus", "firewalld", "--nofork", "--nopid"])
        do {
            try await eventually("firewalld runs", within: .seconds(20)) {
                try shell("firewall-cmd --state || true").contains("running")
                    && shell("nft list tables").contains("table inet firewalld")
            }
        } catch {
            throw Unfulfilled(description: "\(error)\n\(log("bus"))\n\(log("firewalld"))")
        }
    }
}
