import Configuration
import Firewall

// rpcwarden.yaml as tables: each key with its target and its syntax. The bounds of ranges are rpcwarden's own
// limits unless a comment names another source.

extension Array where Element == Field<Settings> {
    static var configuration: Self {
        [
            .value("mode", \.mode, .choice),
            .value("policy", \.policyPath, .text),
            .list("listen", \.listen, .endpoint, isNeeded: true),
            .section("rpcbind", \.rpcbind, .rpcbind),
            .section("firewall", \.firewall, .firewall),
            .section("denial", \.denial, .denial),
            .section("limits", \.limits, .limits),
            .quarantine,
            .section("audit", \.audit, .audit),
            .gateway,
            .fleet,
            .optional("metrics", \.metrics, .endpoint),
            .value("control", \.controlPath, .socketPath),
        ]
    }
}

extension Settings {
    /// The keys of rpcwarden.yaml whose values differ, as `limits.grants`.
    public func changedKeys(to other: Settings) -> [String] {
        [Field<Settings>].configuration.changes(from: self, to: other)
    }
}

extension Array where Element == Field<Settings.Rpcbind> {
    static var rpcbind: Self {
        [
            .withoutUse("address", "rpcbind has no network, and is called only over its unix socket"),
            .value("socket", \.socketPath, .socketPath),
            .value("timeout", \.timeout, .duration(.milliseconds(10) ... .seconds(60))),
            .value("refresh", \.refresh, .duration(.milliseconds(50) ... .seconds(3600))),
            .list("owners", \.owners, .owner, isNeeded: true),
            .value("local-registration", \.permitsLocalRegistration, .flag),
        ]
    }
}

extension Array where Element == Field<Settings.Firewall> {
    static var firewall: Self {
        [
            .value("manage", \.management, .choice(of: [("guard", .guardPorts), ("sets", .sets)])),
            .value("table", \.table, .tableName),
            .value("keep", \.keep, .duration(.seconds(1) ... .days(365))),
            .value("revive", \.revive, .duration(.seconds(1) ... .days(365), orZero: true)),
            .value("mark", \.mark, .mark),
            .value("ct-mark", \.flowMark, .flowMark),
            .value("own-ct-mark", \.ownFlowMark, .flowMark),
            .value("own-table", \.ownsTable, .flag),
            .value("log-group", \.logGroup, .logGroup),
            .list("guard-ports", \.guardPorts, .portRange),
            .never,
        ]
    }
}

extension Array where Element == Field<Settings.Denial> {
    static var denial: Self {
        [
            .value("strangers", \.strangers, .choice),
            .value("refuse", \.refuse, .choice),
        ]
    }
}

extension Array where Element == Field<Settings.Limits> {
    static var limits: Self {
        [
            .value("calls-per-second", \.callsPerSecond, .count(1...1_000_000)),
            .value("grants", \.grants, .count(1...1_048_576)),  // the size of a set: kernel memory
            .value("grants-per-client", \.grantsPerClient, .count(1...65_536)),
            .value("tcp-connections", \.tcpConnections, .count(1...65_536)),  // file descriptors
            .value("tcp-connections-per-client", \.tcpConnectionsPerClient, .count(1...65_536)),
            .value("tcp-idle", \.tcpIdle, .duration(.seconds(1) ... .seconds(3600))),
            // A credential and a verifier take up to 400 bytes each (RFC 5531, 8.2).
            .value("record-bytes", \.recordBytes, .count(400...1_048_576)),
            .value("owed-bytes", \.owedBytes, .count(4096...16_777_216)),
            .value("udp-list", \.listsOverUDP, .flag),
            .value("strangers-per-second", \.strangersPerSecond, .count(0...10_000_000)),
        ]
    }
}

extension Array where Element == Field<Settings.Quarantine> {
    static var quarantine: Self {
        [
            .value("after", \.after, .count(1...1_000_000)),
            .value("within", \.within, .duration(.seconds(1) ... .days(1))),
            .value("for", \.lasts, .duration(.seconds(1) ... .days(365))),
            .value("listed", \.includesListed, .flag),
        ]
    }
}

extension Array where Element == Field<Settings.Audit> {
    static var audit: Self {
        [
            .value("to", \.destination, .choice),
            .optional("file", \.file, .absolutePath),
            .value("permitted", \.permitted, .choice),
            .optional("host", \.host, .hostLabel),
        ]
    }
}

extension Field where Root == Settings {
    /// A mapping, or `false`.
    fileprivate static var quarantine: Self {
        Self(key: "quarantine") { node, settings, findings in
            guard !node.isNull else { return }
            guard case .scalar = node.content else {
                var quarantine = Settings.Quarantine()
                [Field<Settings.Quarantine>].quarantine.read(node, "quarantine", into: &quarantine, &findings)
                settings.quarantine = quarantine
                return
            }
            if let isOn = node.parsed(by: .flag, "quarantine", &findings) {
                settings.quarantine = isOn ? Settings.Quarantine() : nil
            }
        }.comparing(\.quarantine, .quarantine)
    }
}

extension Field where Root == Settings {
    /// A mapping; an empty one is the same as none.
    fileprivate static var gateway: Self {
        Self(key: "gateway") { node, settings, findings in
            guard !node.isNull, node.content != .mapping([]) else { return }
            var gateway = Settings.Gateway()
            [Field<Settings.Gateway>].gateway.read(node, "gateway", into: &gateway, &findings)
            settings.gateway = gateway
        }.comparing(\.gateway, .gateway)
    }
}

extension Field where Root == Settings {
    /// A mapping; an empty one is the same as none.
    fileprivate static var fleet: Self {
        Self(key: "fleet") { node, settings, findings in
            guard !node.isNull, node.content != .mapping([]) else { return }
            var fleet = Settings.Fleet()
            [Field<Settings.Fleet>].fleet.read(node, "fleet", into: &fleet, &findings)
            settings.fleet = fleet
        }.comparing(\.fleet, .fleet)
    }
}

extension Array where Element == Field<Settings.Fleet> {
    static var fleet: Self {
        [
            .value("socket", \.socketPath, .socketPath),
            .value("control", \.controlPath, .socketPath),
            .named(
                "policy", \.policy, Settings.Fleet.Bundle(), .bundle, needed: "group", "name the group of this node"),
            .named("pair", \.pair, Settings.Fleet.Pair(), .pair, needed: "name", "name the nodes that share grants"),
            Field(key: "quarantines") { node, fleet, findings in
                guard !node.isNull else { return }
                var quarantines = Settings.Fleet.Quarantines()
                [Field<Settings.Fleet.Quarantines>].quarantines.read(
                    node, "quarantines", into: &quarantines, &findings)
                fleet.quarantines = quarantines
            }.comparing(\.quarantines, .quarantines),
        ]
    }
}

extension Field where Root == Settings.Fleet {
    /// A mapping, or null, with one key that it must have.
    fileprivate static func named<Value>(
        _ key: String, _ path: WritableKeyPath<Settings.Fleet, Value?>, _ initial: Value,
        _ fields: [Field<Value>], needed: String, _ hint: String
    ) -> Self {
        Self(key: key) { node, fleet, findings in
            guard !node.isNull else { return }
            var value = initial
            fields.read(node, key, into: &value, &findings)
            if node.isMapping, node.value(at: needed)?.isNull ?? true {
                findings.error("\"\(needed)\" is missing", at: node.location, hint: hint)
            }
            fleet[keyPath: path] = value
        }.comparing(path, fields)
    }
}

extension Array where Element == Field<Settings.Fleet.Pair> {
    static var pair: Self {
        [
            .value("name", \.name, .fleetName),
            .value("grants", \.grants, .count(1...1_048_576)),
        ]
    }
}

extension Array where Element == Field<Settings.Fleet.Quarantines> {
    static var quarantines: Self {
        [
            .value("share", \.share, .flag),
            .value("accept", \.accept, .flag),
            .value("max", \.max, .count(1...65_536)),
            .value("quorum", \.quorum, .count(1...64)),
        ]
    }
}

extension Array where Element == Field<Settings.Fleet.Bundle> {
    static var bundle: Self {
        [
            .value("group", \.group, .fleetName),
            .optional("fleet", \.fleet, .fleetName),
            .value("mode", \.mode, .choice),
            .optional("bundle", \.path, .text),
            .value("keys", \.keysPath, .text),
            .optional("ceiling", \.ceilingPath, .text),
            .value("expire", \.expiry, .choice),
        ]
    }
}

extension Array where Element == Field<Settings.Gateway> {
    static var gateway: Self {
        [
            .sections("servers", \.servers, Settings.Server(), .server, needed: ["name", "address"]),
            .value("routing", \.routing, .choice),
            .pair("tables", \.tables, .routingTable),
            .pair("marks", \.marks, .flowMark),
            .value("linger", \.linger, .duration(.seconds(1) ... .days(1))),
        ]
    }
}

extension Array where Element == Field<Settings.Server> {
    static var server: Self {
        [
            .value("name", \.name, .serverName),
            .list("address", \.addresses, .serverAddress, isNeeded: true),
            .list("also-known-as", \.aliases, .serverAddress),
            .section("rpcbind", \.rpcbind, .portmapper),
            .value("liveness", \.liveness, .choice),
            .value("guard", \.guarded, .choice),
            .list("pass", \.pass, .portRange),
            .list("close", \.close, .portRange),
            .value("callbacks", \.callbacks, .choice),
        ]
    }
}

extension Array where Element == Field<Settings.Server.Portmapper> {
    static var portmapper: Self {
        [
            .optional("address", \.endpoint, .endpoint),
            .optional("source", \.source, .serverAddress),
            .value("timeout", \.timeout, .duration(.milliseconds(10) ... .seconds(60))),
            .value("refresh", \.refresh, .duration(.seconds(1) ... .seconds(3600))),
            .list("owners", \.owners, .owner, isNeeded: true),
        ]
    }
}

extension Field where Root == Settings.Firewall {
    fileprivate static var never: Self {
        Self(key: "never") { node, firewall, findings in
            guard !node.isNull else { return }
            firewall.never = Set(node.parsedItems(by: .port, "never", &findings))
        }.comparing(\.never)
    }
}

extension Duration {
    fileprivate static func days(_ count: Int) -> Duration { .seconds(count * 86_400) }
}
