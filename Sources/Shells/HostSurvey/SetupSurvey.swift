import HostPosture

extension HostSurvey {
    /// The posture, and the current state of the files that setup changes.
    public func setupFacts() -> SetupFacts {
        var facts = SetupFacts()
        facts.host = self.facts()
        for file in SetupFiles.written { facts.files[file] = root.bytes(file) }
        facts.folders = Set(SetupFiles.made.filter(root.isFolder))
        facts.policies = root.names(SetupFiles.policyFolder).filter { $0.hasSuffix(".yaml") }
        let users = (root.text("/etc/passwd") ?? "").split(separator: "\n")
        facts.hasUser = users.contains { $0.hasPrefix("\(SetupFiles.user):") }
        facts.installedUnits = Set((["rpcbind.socket"] + SetupFiles.units).filter(hasUnit))
        facts.hasSysusers = Subcommand.find("systemd-sysusers", in: searchPath) != nil
        facts.record = SetupRecord(text: root.ownText(SetupFiles.record) ?? "")
        let socket = socketUnit("rpcwarden.socket", without: SetupFiles.gatewayDropInName)
        facts.wardenSocketUnit = socket.whole ?? SocketUnit([])
        facts.wardenSocketUnitOfOthers = socket.ofOthers ?? SocketUnit([])
        facts.laterWardenPorts = socket.laterPorts
        guard isRunning else { return facts }
        facts.forwards = forwards
        facts.dependents = dependents
        return facts
    }

    /// Whether rpcwarden.service starts the daemon with this configuration.
    public func startsWarden(with configuration: String) -> Bool {
        let words = (unitTexts("rpcwarden.service") ?? []).flatMap { $0.split(whereSeparator: \.isWhitespace) }
        return words.contains { $0 == configuration || $0 == "--config=\(configuration)" }
    }

    /// The active units that restart with rpcbind.socket.
    private var dependents: [String] {
        let shown = command("systemctl", "show", "rpcbind.socket", "-p", "RequiredBy,BoundBy,ConsistsOf", "--value")
        let names = Set(shown.output.split { $0 == "\n" || $0 == " " }.map(String.init)).sorted()
        return names.filter { command("systemctl", "is-active", $0).isSuccess }
    }
}
