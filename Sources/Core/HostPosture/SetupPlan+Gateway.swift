import Firewall

extension SetupPlan {
    /// The plan from the present state of the host to a gateway, in observe mode. It moves no rpcbind: a gateway need
    /// not have one.
    public static func setupGateway(_ facts: SetupFacts) -> Self {
        var plan = Self()
        guard facts.host.serviceManager == .systemd else {
            plan.block(Self.gatewayByHand)
            return plan
        }
        plan.lookAtGateway(facts)
        plan.configure(facts, SetupFiles.gatewayConfigurationText, policy: SetupFiles.gatewayPolicyText)
        plan.addUser(facts)
        plan.addDropIns(facts)
        plan.startGateway(facts)
        plan.tellOfForwarding(facts)
        return plan
    }

    private mutating func lookAtGateway(_ facts: SetupFacts) {
        lookForUnits(facts)
        lookAtKernelAndPort(facts)
        let held = Examination(facts.host).exposed.map(\.text).sorted()
        let planned = facts.host.unit("rpcbind.socket").isEnabled ? facts.host.socketUnit?.exposesPortmapper ?? [] : []
        if let place = held.first ?? planned.first {
            block(
                """
                rpcbind has port 111 of this host (\(place)), and rpcwarden needs it. If this host needs rpcbind, run \
                `rpcwarden setup` first; if not, turn it off: systemctl disable --now rpcbind.socket rpcbind.service
                """)
        }
        lookAtGatewayDropIns(facts)
        lookAtConfiguration(facts)
    }

    private mutating func lookAtGatewayDropIns(_ facts: SetupFacts) {
        let dropIn = Self.socketDropIn(facts)
        if dropIn.isForeign(facts), !dropIn.isInForce {
            block(
                "\(facts.root)\(dropIn.path) was not written by setup, and \(dropIn.lack). Move it away, then run setup again"
            )
        }
        if !facts.laterWardenPorts.isEmpty {
            block(
                """
                rpcwarden.socket gets ports from drop-ins that override setup's \(SetupFiles.gatewayDropInName): \
                \(facts.laterWardenPorts.joined(separator: ", ")); remove the ports there
                """)
        } else if !dropIn.isInForce, facts.files[dropIn.path] == Array(dropIn.text.utf8) {
            block("another drop-in of rpcwarden.socket overrides \(facts.root)\(dropIn.path): \(dropIn.lack)")
        }
    }

    private static func socketDropIn(_ facts: SetupFacts) -> DropIn {
        let unit = facts.wardenSocketUnit
        return DropIn(
            path: SetupFiles.gatewayDropIn, folder: SetupFiles.gatewayDropInFolder,
            text: SetupFiles.gatewayDropInText(listens: !facts.wardenSocketUnitOfOthers.bindsEverywhere),
            isInForce: unit.isTransparent && unit.bindsEverywhere,
            lack: "with it rpcwarden.socket lacks Transparent=yes, or a socket at port 111 of every address")
    }

    /// An edited drop-in is kept.
    private static func guardDropIn(_ facts: SetupFacts) -> DropIn {
        let path = SetupFiles.guardDropIn
        return DropIn(
            path: path, folder: SetupFiles.guardDropInFolder, text: SetupFiles.guardDropInText,
            isInForce: facts.files[path] != nil, lack: "this host forwards packets until its kernel ends")
    }

    private mutating func addDropIns(_ facts: SetupFacts) {
        let isSocketDue = add(Self.socketDropIn(facts), "rpcwarden.socket has Transparent=yes", facts)
        let isGuardDue = add(Self.guardDropIn(facts), "at a shutdown this host stops forwarding", facts)
        let restarts = isSocketDue || facts.host.gateway?.isTransparent == false
        guard !facts.isImage, restarts || isGuardDue else { return }
        act(.run(["systemctl", "daemon-reload"]))
        if restarts { restartActiveUnits(facts) }
    }

    /// - Returns: whether the drop-in has to be written.
    private mutating func add(_ dropIn: DropIn, _ state: String, _ facts: SetupFacts) -> Bool {
        guard dropIn.isDue(facts) else {
            if dropIn.isInForce { alreadySo(state) }
            return false
        }
        write(dropIn, facts)
        return true
    }

    /// A socket takes its options when it is made.
    mutating func restartActiveUnits(_ facts: SetupFacts, except stopped: [String] = []) {
        let active = ["rpcwarden.socket", "rpcwarden.service"].filter {
            facts.host.unit($0).isActive && !stopped.contains($0)
        }
        if !active.isEmpty { act(.run(["systemctl", "restart"] + active)) }
    }

    private mutating func startGateway(_ facts: SetupFacts) {
        // Without a server and without an rpcbind, a started daemon would wait for an rpcbind.
        guard facts.host.expected.gateway != nil else {
            return note(
                """
                \(facts.root)\(SetupFiles.configuration) names no server, so rpcwarden is not started. Add `gateway:` to it, \
                run `rpcwarden check`, then `rpcwarden setup --gateway` again
                """)
        }
        start(facts)
    }

    /// To forward packets is the administrator's decision: it makes a router of this host.
    private mutating func tellOfForwarding(_ facts: SetupFacts) {
        let families = facts.host.expected.gateway?.families ?? RoutingFamily.allCases
        for family in families where facts.forwards[family] == false {
            let key = family == .ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"
            note(
                """
                this host forwards no \(family) packets, and setup doesn't change that. To let clients reach servers: \
                `sysctl -w \(key)=1`, and a file in /etc/sysctl.d
                """)
        }
    }

    private static let gatewayByHand = """
        this host has no systemd. By hand:
          1. write /etc/rpcwarden/rpcwarden.yaml with `mode: observe` and `gateway:`, and a policy below
             /etc/rpcwarden/policy.d
          2. have your service manager run `rpcwarden serve`, as root or with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE
          3. switch forwarding on: `sysctl -w net.ipv4.ip_forward=1`
        """
}
