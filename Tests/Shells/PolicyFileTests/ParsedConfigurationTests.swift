import Configuration
import Testing

@testable import PolicyFile

/// A configuration, and the differences of its settings from the defaults.
private struct Accepted: CustomTestStringConvertible {
    var text: String
    var change: @Sendable (inout Settings) -> Void

    init(_ text: String, _ change: @escaping @Sendable (inout Settings) -> Void) {
        self.text = text
        self.change = change
    }

    var testDescription: String { text }
}

@Suite("Configurations")
struct ParsedConfigurationTests {
    @Test(
        "each key",
        arguments: [
            Accepted("") { _ in },
            Accepted("mode: observe") { $0.mode = .observe },
            Accepted("policy: p.yaml") { $0.policyPath = "p.yaml" },
            Accepted("listen: \"[2001:db8::1]:1111\"") {
                $0.listen = [Settings.Endpoint(.v6(0x2001_0db8_0000_0000_0000_0000_0000_0001), 1111)]
            },
            Accepted("rpcbind: {socket: /s, timeout: 1m, refresh: 1h, owners: ['0', statd], local-registration: true}")
            {
                $0.rpcbind.socketPath = "/s"
                $0.rpcbind.timeout = .seconds(60)
                $0.rpcbind.refresh = .seconds(3600)
                $0.rpcbind.owners = ["0", "statd"]
                $0.rpcbind.permitsLocalRegistration = true
            },
            Accepted("firewall: {manage: sets, table: rpc_2-x, keep: 10m, revive: 0, mark: 65536, ct-mark: 0x400}") {
                $0.firewall.management = .sets
                $0.firewall.table = "rpc_2-x"
                $0.firewall.keep = .seconds(600)
                $0.firewall.revive = .zero
                $0.firewall.mark = 0x10000
                $0.firewall.flowMark = 0x400
            },
            Accepted("firewall: {revive: 0s, mark: 0xFFFFFFFF, own-ct-mark: 1, never: []}") {
                $0.firewall.revive = .zero
                $0.firewall.mark = .max
                $0.firewall.ownFlowMark = 1
                $0.firewall.never = []
            },
            Accepted("firewall: {guard-ports: [tcp/2049, udp/32765-32768], never: 22}") {
                $0.firewall.guardPorts = [
                    Settings.PortRange(.tcp, 2049...2049), Settings.PortRange(.udp, 32_765...32_768),
                ]
                $0.firewall.never = [22]
            },
            Accepted("denial: {strangers: auth-error, refuse: not-registered}") {
                $0.denial.strangers = .authError
                $0.denial.refuse = .notRegistered
            },
            Accepted("limits: {calls-per-second: 1, grants: 1048576, grants-per-client: 2, tcp-idle: 1s}") {
                $0.limits.callsPerSecond = 1
                $0.limits.grants = 1_048_576
                $0.limits.grantsPerClient = 2
                $0.limits.tcpIdle = .seconds(1)
            },
            Accepted("limits: {tcp-connections: 3, tcp-connections-per-client: 3, record-bytes: 400, udp-list: true}") {
                $0.limits.tcpConnections = 3
                $0.limits.tcpConnectionsPerClient = 3
                $0.limits.recordBytes = 400
                $0.limits.listsOverUDP = true
            },
            Accepted("quarantine: false") { $0.quarantine = nil },
            Accepted("quarantine: true") { _ in },
            Accepted("limits: {strangers-per-second: 0}\nquarantine: {listed: true}") {
                $0.limits.strangersPerSecond = 0
                $0.quarantine?.includesListed = true
            },
            Accepted("quarantine: {after: 5, for: 1d}") {
                $0.quarantine?.after = 5
                $0.quarantine?.lasts = .seconds(86_400)
            },
            Accepted(
                "fleet: {policy: {fleet: lab, group: nfs, mode: replace, bundle: b, keys: k, ceiling: c, expire: deny}}"
            ) {
                var bundle = Settings.Fleet.Bundle()
                (bundle.group, bundle.mode, bundle.expiry) = ("nfs", .replace, .deny)
                (bundle.path, bundle.keysPath, bundle.ceilingPath) = ("b", "k", "c")
                bundle.fleet = "lab"
                $0.fleet = Settings.Fleet()
                $0.fleet?.policy = bundle
            },
            Accepted("fleet: {policy: {group: nfs}}") {
                $0.fleet = Settings.Fleet()
                $0.fleet?.policy = Settings.Fleet.Bundle()
                $0.fleet?.policy?.group = "nfs"
            },
            Accepted("audit: {to: file, file: /var/log/x}") {
                $0.audit.destination = .file
                $0.audit.file = "/var/log/x"
            },
            Accepted("audit: {permitted: first, host: nfs1.example.com}") {
                $0.audit.permitted = .first
                $0.audit.host = "nfs1.example.com"
            },
            Accepted("audit: {permitted: none, host: 17}") {
                $0.audit.permitted = .none
                $0.audit.host = "17"
            },
            Accepted("audit: {to: stderr}\nmetrics: 127.0.0.1:9811\ncontrol: /c") {
                $0.audit.destination = .stderr
                $0.metrics = Settings.Endpoint(.v4(0x7f00_0001), 9811)
                $0.controlPath = "/c"
            },
            Accepted(
                "mode:\npolicy: ~\nlisten: null\nrpcbind:\nfirewall: {keep: , never: ~}\nquarantine: null\naudit:"
                    + " {to: }"
            ) { _ in },
        ])
    fileprivate func key(_ accepted: Accepted) {
        let parsed = configuration(accepted.text)
        var expected = Settings()
        accepted.change(&expected)
        #expect(parsed.diagnostics == [])
        #expect(parsed.settings == expected)
        let changed = Settings().changedKeys(to: expected)
        #expect(Set(changed) == (expected == Settings() ? [] : keys(in: accepted.text)), "as a reload names them")
    }

    /// The keys that have a value. Without a gateway or a fleet, its keys change as one.
    private func keys(in text: String) -> Set<String> {
        guard case .mapping(let entries)? = parsedRoot(SourceFile(name: "c.yaml", text: text))?.content else {
            return []
        }
        return Set(
            entries.flatMap { entry -> [String] in
                guard case .mapping(let parts) = entry.value.content, !["gateway", "fleet"].contains(entry.key) else {
                    return entry.value.isNull ? [] : [entry.key]
                }
                return parts.filter { !$0.value.isNull }.map { "\(entry.key).\($0.key)" }
            })
    }

    @Test("a change inside a gateway or a fleet is named by its key; what appears or goes is named as a whole")
    func changedParts() {
        let fleet = configuration("fleet: {pair: {name: a}, quarantines: {share: true}}").settings
        let other = configuration("fleet: {pair: {name: a, grants: 5}, quarantines: {quorum: 2}, socket: /s}").settings
        #expect(fleet.changedKeys(to: other) == ["fleet.socket", "fleet.pair.grants", "fleet.quarantines.quorum"])
        #expect(fleet.changedKeys(to: Settings()) == ["fleet"])
        let server = "{name: a, address: 10.0.0.1}"
        let gateway = configuration("gateway: {servers: [\(server)]}").settings
        let more = configuration("gateway: {servers: [\(server), {name: b, address: 10.0.0.2}], linger: 5s}").settings
        #expect(gateway.changedKeys(to: more) == ["gateway.servers", "gateway.linger"])
    }

    @Test("every key is in some test of this file, and is in the sample")
    func sample() throws {
        let source = try sampleFile("rpcwarden.yaml")
        let root = try #require(parsedRoot(source))
        guard case .mapping(let entries) = root.content else { return #expect(Bool(false), "the sample is no mapping") }
        #expect(Set(entries.map(\.key)) == Set(ParsedConfiguration.keys))
        let sections: [(String, [String])] = [
            ("rpcbind", [Field<Settings.Rpcbind>].rpcbind.filter(\.isOfUse).map(\.key)),
            ("firewall", [Field<Settings.Firewall>].firewall.map(\.key)),
            ("denial", [Field<Settings.Denial>].denial.map(\.key)),
            ("limits", [Field<Settings.Limits>].limits.map(\.key)),
            ("quarantine", [Field<Settings.Quarantine>].quarantine.map(\.key)),
            ("audit", [Field<Settings.Audit>].audit.map(\.key)),
        ]
        for (section, keys) in sections {
            for key in keys { #expect(root.value(at: section, key) != nil, "\(section).\(key)") }
        }
    }

    private func parsedRoot(_ source: SourceFile) -> YAMLNode? {
        var findings = Findings()
        return YAMLDocument.root(of: source, &findings)
    }
}
