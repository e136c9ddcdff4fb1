import Addresses
import Clock
import Configuration
import Firewall

/// The state that outlives the host's boot: the ports that were guarded last, their programs, and the memory of
/// grants.
///
/// It opens nothing: it closes ports, and lets a client's own packet revive a grant that policy permits.
public struct SavedGuard: Hashable, Sendable {
    /// The scope of the sockets' cookies: one boot, one network namespace.
    public struct Place: Hashable, Sendable {
        /// The kernel's boot_id.
        public var boot: String
        /// The inode of the namespace.
        public var network: UInt64

        public init(boot: String, network: UInt64) {
            self.boot = boot
            self.network = network
        }
    }

    /// The settings that were in force, for a start at which the configuration can't be read.
    public struct Firewall: Hashable, Sendable {
        public var table: String
        public var management: TableShape.Management
        public var mode: Settings.Mode
        public var never: Set<UInt16>
        public var guardPorts: [Settings.PortRange]
        /// The servers behind this gateway: keys name their addresses by the numbers that they have here.
        public var gateway: GatewayShape?

        public init(_ settings: Settings) {
            table = settings.firewall.table
            management = settings.firewall.management
            mode = settings.mode
            never = settings.firewall.never
            guardPorts = settings.firewall.guardPorts
            gateway = settings.gateway?.shape
        }
    }

    /// A grant that was held, or still is.
    public struct Memory: Hashable, Sendable {
        public var note: GrantNote
        public var programs: Programs
        /// Wall-clock time: the monotonic clock begins anew at a boot.
        public var until: Timestamp

        public init(note: GrantNote, programs: Programs, until: Timestamp) {
            self.note = note
            self.programs = programs
            self.until = until
        }
    }

    /// `nil` if the kernel didn't tell it.
    public var place: Place?
    public var firewall: Firewall
    /// The guarded ports, and the programs that were registered there.
    public var programs: [ServicePort: Set<Program>] = [:]
    /// The cookies of the sockets that listened at guarded ports.
    public var sockets: [ServicePort: Set<UInt64>] = [:]
    public var remembered: [GrantKey: Memory] = [:]

    public init(place: Place? = nil, settings: Settings = Settings()) {
        self.place = place
        firewall = Firewall(settings)
    }

    /// Of this host. Ports in excess of this are not saved, and neither are programs and sockets of one port.
    public static let portsMax = 8192
    /// Of all servers behind this gateway; each of their addresses has the same number of places.
    public static let serverPortsMax = 32_768
    /// Of all servers, as their `close` names them.
    public static let closedMax = 65_536
    public static let programsMax = 64
    public static let socketsMax = 64
    /// The default of `limits.grants`.
    public static let rememberedMax = 65_536

    /// The guard as far as it is valid here: after a boot the sockets are others. `nil` if a daemon of another
    /// network namespace saved it; its ports don't belong to this one.
    public func found(at place: Place?) -> SavedGuard? {
        guard let place, let own = self.place, place.boot == own.boot else {
            var found = self
            found.sockets = [:]
            return found
        }
        return place.network == own.network ? self : nil
    }

    /// The guard with the numbers that addresses of servers have now; what was saved of other servers is left out.
    public func renumbered(for gateway: GatewayShape?) -> SavedGuard {
        guard firewall.gateway?.addresses != gateway?.addresses else { return self }
        func renumbered(_ service: ServicePort) -> ServicePort? {
            guard service.server != .thisHost else { return service }
            guard let address = firewall.gateway?.address(of: service.server) else { return nil }
            return gateway?.server(at: address).map(service.at)
        }
        var new = self
        (new.programs, new.sockets, new.remembered) = ([:], [:], [:])
        for (service, programs) in programs {
            if let service = renumbered(service) { new.programs[service] = programs }
        }
        for (service, cookies) in sockets {
            if let service = renumbered(service) { new.sockets[service] = cookies }
        }
        for (key, memory) in remembered {
            guard let service = renumbered(key.service) else { continue }
            new.remembered[GrantKey(client: key.client, service: service)] = memory
        }
        return new
    }

    /// Settings for a configuration that can't be read: the ones that were in force last. They spare at least the
    /// ports that the defaults spare, because the saving process isn't trusted with the host's other ports.
    public var lastSettings: Settings {
        var settings = Settings()
        settings.mode = firewall.mode
        settings.firewall.table = firewall.table
        settings.firewall.management = firewall.management
        settings.firewall.never.formUnion(firewall.never)
        settings.firewall.guardPorts = firewall.guardPorts
        settings.gateway = firewall.gateway.map { Settings.Gateway(guarding: $0) }
        return settings
    }

    /// The transaction that puts the guard into the kernel before the daemon runs: ports and memory, and nothing
    /// that opens.
    ///
    /// - Parameter settings: the settings without features that this kernel lacks.
    public func transaction(for settings: Settings, at now: Timestamp) -> Transaction {
        renumbered(for: settings.gateway?.shape).transaction(with: settings, at: now)
    }

    private func transaction(with settings: Settings, at now: Timestamp) -> Transaction {
        let firewall = settings.firewall
        var ports = Set(programs.keys)
        for range in firewall.guardPorts {
            for port in range.ports { ports.insert(ServicePort(range.transport, port)) }
        }
        var transaction = Transaction(table: firewall.table)
        // A server's portmapper is closed in any case.
        let guarding = ports.filter {
            !firewall.never.contains($0.port) && ($0.server == .thisHost || $0.port != Gate.portmapperPort)
        }.sorted().map(Operation.guardPort)
        switch firewall.management {
        case .sets: transaction.operations = guarding
        case .guardPorts:
            transaction.operations = [.makeTable(settings.tableShape)] + guarding
            transaction.operations += memories(for: settings, at: now).sorted { $0.key < $1.key }.map {
                .remember($0.key, timeout: $0.left, comment: $0.memory.note.description)
            }
        }
        return transaction
    }

    /// The memories that are still valid, each with its time left: at most `revive` from now on, whatever the
    /// clocks said.
    func memories(
        for settings: Settings, at now: Timestamp
    ) -> [(key: GrantKey, memory: Memory, left: Duration)] {
        let firewall = settings.firewall
        guard firewall.revive > .zero else { return [] }
        let gateway = settings.gateway?.shape
        let living = remembered.lazy.compactMap { key, memory -> (key: GrantKey, memory: Memory, left: Duration)? in
            let left = Duration.milliseconds(memory.until.milliseconds - now.milliseconds)
            guard left > .zero, !firewall.never.contains(key.service.port) else { return nil }
            // The file isn't trusted: what the kernel's process would refuse must not take the rest along.
            let server = key.service.server
            guard
                server == .thisHost
                    || !server.isCallback && gateway?.hasAddress(of: server, for: key.client) == true
            else { return nil }
            return (key, memory, min(left, firewall.revive))
        }
        return Array(living.prefix(settings.limits.grants))
    }
}

extension Settings.Gateway {
    /// Servers with the addresses and the closed ports of the table; their names tell the addresses.
    fileprivate init(guarding shape: GatewayShape) {
        self.init()
        marks = [shape.serverMark, shape.clientMark]
        let closed = Dictionary(grouping: shape.closed, by: \.server)
        servers = shape.addresses.enumerated().map { index, address in
            var server = Settings.Server()
            server.name = "\(address)"
            server.addresses = [address]
            server.close = (closed[ServerID(rawValue: UInt16(index + 1))] ?? [])
                .map { Settings.PortRange($0.transport, $0.ports) }
            return server
        }
    }
}
