import Addresses
import Firewall
import Portmapper

extension Upstream {
    /// One line of `registry`.
    public struct Entry: Hashable, Sendable {
        public var program: Program
        public var version: UInt32
        public var netID: String
        public var address: String
        public var owner: String
        /// `nil` if no packet filter sees the netid.
        public var service: ServicePort?
        public var isTrusted: Bool
        public var isAlive: Bool
        public var isGuarded: Bool
        public var isOrphaned = false
        public var isGuardable = true
        /// Other programs at its port, ascending: they are opened along with this one.
        public var sharesPortWith: [Program] = []
    }

    /// - Parameter guarded: the ports that the kernel guards.
    public func entries(guarded: Set<ServicePort>) -> [Entry] {
        var entries = allEntries(guarded)
        let programs = entries.reduce(into: [ServicePort: Set<Program>]()) { programs, entry in
            if let service = entry.service { programs[service, default: []].insert(entry.program) }
        }
        for index in entries.indices {
            let atPort = entries[index].service.flatMap { programs[$0] } ?? []
            entries[index].sharesPortWith = atPort.subtracting([entries[index].program]).sorted()
        }
        return entries
    }

    private func allEntries(_ guarded: Set<ServicePort>) -> [Entry] {
        (registry?.registrations ?? []).map { entry($0, guarded) } + orphanEntries(guarded)
            + (registry?.unguardable ?? []).map { rpcb in
                Entry(
                    program: rpcb.program, version: rpcb.version, netID: rpcb.netID, address: rpcb.address,
                    owner: rpcb.owner, isTrusted: isTrusted(owner: rpcb.owner), isAlive: false,
                    isGuarded: false, isGuardable: false)
            }
    }

    private func entry(_ registration: Registration, _ guarded: Set<ServicePort>) -> Entry {
        let places = site.places(of: registration)
        return Entry(
            program: registration.program, version: registration.version, netID: registration.netID.rawValue,
            address: registration.addressText, owner: registration.owner, service: registration.service,
            isTrusted: isTrusted(registration),
            isAlive: registration.program == .portmapper
                ? isReachable == true : places.contains { services.isListening($0) == true },
            isGuarded: places.contains(where: guarded.contains))
    }

    /// The services that lost their mappings, as they were registered last; if that isn't known, one line a
    /// program.
    private func orphanEntries(_ guarded: Set<ServicePort>) -> [Entry] {
        services.orphans.filter(\.value.isConfirmed).sorted { $0.key < $1.key }.flatMap { service, orphan in
            var entries = orphan.registrations.map { entry($0, guarded) }
            if entries.isEmpty {
                let netID = NetID(service.transport, isIPv4: true)
                let address = UniversalAddress(host: .v4(0), port: service.port).description
                entries = orphan.programs.sorted().map {
                    Entry(
                        program: $0, version: 0, netID: netID.rawValue, address: address, owner: "", service: service,
                        isTrusted: true, isAlive: true, isGuarded: guarded.contains(service))
                }
            }
            for index in entries.indices { entries[index].isOrphaned = true }
            return entries
        }
    }
}
