/// CIS 2.1.12 with the evidence that its audit asks for.
extension Examination {
    public var rpcbindEvidence: ControlEvidence {
        let (verdict, statement) = judgement
        return ControlEvidence(
            control: "CIS 2.1.12", title: "Ensure rpcbind services are not in use", verdict: verdict,
            statement: statement, steps: [packageStep] + unitSteps + (isFronted ? frontSteps : []),
            remarks: facts.serviceManager == .systemd ? [Self.mistake] : [])
    }

    private static let mistake = """
        The published audit asks systemctl is-active for cups.socket and cups.service by mistake. The command here names \
        rpcbind's units.
        """

    /// rpcbind is used, without a network of its own, and rpcwarden answers in its place.
    private var isFronted: Bool {
        isWardenActive && exposed.isEmpty && (isWithoutNetworkByUnits || facts.rpcbindNetwork == .empty)
    }

    private var judgement: (ControlEvidence.Verdict, String) {
        if facts.package == .absent, !isInUse { return (.met, "Met: rpcbind is not installed.") }
        if !isInUse {
            guard facts.package != .unknown || facts.serviceManager == .systemd else {
                return (.unknown, "Unknown: neither packages nor units can be asked on this host.")
            }
            return (.met, "Met: rpcbind is neither enabled nor active.")
        }
        guard isFronted else {
            return (.notMet, "Not met: rpcbind is in use, and rpcwarden does not stand in front of it.")
        }
        if facts.expected.isObserving {
            return (
                .notMet,
                "Not met: rpcwarden stands in front of rpcbind, and observes: it denies nothing and drops nothing."
            )
        }
        guard let use else {
            return (.unknown, "Unknown: rpcbind is in use behind rpcwarden, and its registrations can't be read.")
        }
        if use.needing.isEmpty {
            return (.notMet, "Not met: rpcbind is in use, and no registered service needs it.")
        }
        return (
            .exception,
            """
            Not met to the letter: registered services need rpcbind. It has no network: rpcwarden answers at port 111 in \
            its place, by policy. This is the exception to document.
            """
        )
    }

    private var packageStep: ControlEvidence.Step {
        let isRPM = facts.family == .redHat || facts.family == .suse
        let result =
            switch facts.package {
            case .absent: "not installed"
            case .installed(let others):
                others.isEmpty
                    ? "installed; no package depends on it" : "installed; needed by \(others.joined(separator: ", "))"
            case .unknown: "unknown"
            }
        return ControlEvidence.Step(
            command: isRPM ? "rpm -q rpcbind" : "dpkg-query -s rpcbind",
            expected: "not installed, or needed by another package", result: result)
    }

    private var unitSteps: [ControlEvidence.Step] {
        guard facts.serviceManager == .systemd else {
            return [
                ControlEvidence.Step(
                    command: facts.serviceManager == .openRC ? "rc-update show" : "ls /etc/rc*.d/S*rpcbind",
                    expected: "no rpcbind",
                    result: facts.startFiles.isEmpty ? "none" : facts.startFiles.joined(separator: ", "))
            ]
        }
        let units = Self.rpcbindUnits.joined(separator: " ")
        let said = { (word: KeyPath<UnitState, String>) in
            Self.rpcbindUnits.map { unit in
                let text = facts.unit(unit)[keyPath: word]
                return "\(unit): \(text.isEmpty ? "no output" : text)"
            }.joined(separator: "; ")
        }
        return [
            ControlEvidence.Step(
                command: "systemctl is-enabled \(units) 2>/dev/null | grep 'enabled'", expected: "no output",
                result: said(\.enablement)),
            ControlEvidence.Step(
                command: "systemctl is-active \(units) 2>/dev/null | grep '^active'", expected: "no output",
                result: facts.isRunning ? said(\.activity) : "an image: nothing runs"),
        ]
    }

    /// What stands in the place of the control.
    private var frontSteps: [ControlEvidence.Step] {
        let sockets = facts.sockets.filter { $0.service.port == 111 && $0.isReachable }.map { socket in
            "\(socket.text) of \(socket.holders.sorted().joined(separator: ", "))"
        }
        let network =
            switch facts.rpcbindNetwork {
            case .empty: "rpcbind runs in a network namespace with loopback alone"
            case .ofHost: "rpcbind runs in the host's network"
            case nil: "rpcbind doesn't run at present"
            }
        return [
            ControlEvidence.Step(
                command: "systemctl show --property=PrivateNetwork rpcbind.service", expected: "PrivateNetwork=yes",
                result: "PrivateNetwork=\(facts.serviceUnit?.hasPrivateNetwork == true ? "yes" : "no"); \(network)"),
            ControlEvidence.Step(
                command: "ss -lntup 'sport = :111'", expected: "no socket of rpcbind",
                result: sockets.isEmpty ? "none" : sockets.sorted().joined(separator: "; ")),
        ]
    }
}
