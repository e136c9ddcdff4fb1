import Firewall
import Portmapper

/// The services that may be guarded and opened: registered by a trusted owner, and reachable from outside.
struct ServiceTable {
    /// Trusted registrations' ports, and for whose sake.
    private(set) var programs: [ServicePort: Set<Program>] = [:]
    private(set) var listeners: [ServicePort: ListenerState] = [:]
    /// Stays while the mapping stays: a service that restarts must not find its port open to all.
    private(set) var guarded: Set<ServicePort> = []
    /// For whose sake each port was guarded last, also while it isn't.
    private var lastPrograms: [ServicePort: Set<Program>] = [:]

    /// Ports come and go with restarts of their services.
    private static let lastProgramsMax = 4096

    /// - Returns: whether anything changed.
    mutating func registryRead(_ registry: Registry, trusted: Set<String>) -> Bool {
        var programs: [ServicePort: Set<Program>] = [:]
        for registration in registry.registrations
        where trusted.contains(registration.owner) && !registration.isForThisHostOnly {
            guard registration.program != .portmapper, let service = registration.service else { continue }
            programs[service, default: []].insert(registration.program)
        }
        guard programs != self.programs else { return false }
        self.programs = programs
        listeners = listeners.filter { programs[$0.key] != nil }
        return true
    }

    /// - Returns: whether anything changed.
    mutating func listenersInspected(_ states: [ServicePort: ListenerState]) -> Bool {
        var isChanged = false
        for (service, state) in states where programs[service] != nil && listeners[service] != state {
            listeners[service] = state
            isChanged = true
        }
        return isChanged
    }

    /// Guards what is alive, or was when its mapping appeared.
    ///
    /// - Returns: the ports that belong to others than before. What was admitted to them is not meant for the new ones.
    mutating func updateGuards(never: Set<UInt16>) -> Set<ServicePort> {
        guarded = Set(
            programs.keys.filter {
                !never.contains($0.port) && (guarded.contains($0) || listeners[$0]?.isListening == true)
            })
        var replaced: Set<ServicePort> = []
        for service in guarded {
            let programs = programs[service] ?? []
            if lastPrograms[service].map({ !$0.isSubset(of: programs) }) ?? false { replaced.insert(service) }
            lastPrograms[service] = programs
        }
        if lastPrograms.count > Self.lastProgramsMax { lastPrograms = lastPrograms.filter { guarded.contains($0.key) } }
        return replaced
    }

    /// Takes over the guard of an earlier run, until the registry is known.
    mutating func adopt(guarded: Set<ServicePort>) {
        self.guarded = guarded
    }

    /// Whether a client of that family reaches a listening socket.
    func isAlive(_ service: ServicePort, ipv4: Bool) -> Bool {
        guard let state = listeners[service] else { return false }
        return ipv4 ? state.ipv4 : state.ipv6
    }
}
