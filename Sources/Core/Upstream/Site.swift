import Addresses
import Portmapper

/// Where the services that a portmapper lists are reached: at this host, or at each address of a server behind it.
public struct Site: Hashable, Sendable {
    public struct Address: Hashable, Sendable {
        public var id: ServerID
        public var host: IPAddress

        public init(id: ServerID, host: IPAddress) {
            self.id = id
            self.host = host
        }
    }

    /// Empty: this host.
    public let addresses: [Address]
    /// How long a port of a server stays guarded after its registration is gone and it last answered.
    public let linger: Duration

    /// The transports over which services of a server are called; over others, all of them count as alive.
    public let called: Set<Transport>

    public static let thisHost = Site(addresses: [], linger: .zero)

    public init(addresses: [Address], linger: Duration, called: Set<Transport> = Set(Transport.allCases)) {
        self.addresses = addresses
        self.linger = linger
        self.called = called
    }

    var isThisHost: Bool { addresses.isEmpty }

    func address(_ id: ServerID) -> Address? { addresses.first { $0.id == id } }

    /// A registration at one address holds for that address alone.
    func holds(_ registration: Registration, at id: ServerID) -> Bool {
        guard !isThisHost else { return true }
        return address(id).map { registration.holds(at: $0) } ?? false
    }

    /// The ports that the registration's service has, one for each address.
    func places(of registration: Registration) -> [ServicePort] {
        guard let service = registration.service else { return [] }
        guard !isThisHost else { return [service] }
        return addresses.filter { registration.holds(at: $0) }.map { service.at($0.id) }
    }
}

extension Registration {
    fileprivate func holds(at address: Site.Address) -> Bool {
        guard let host = self.address?.host, !host.isUnspecified else { return true }
        return host == address.host
    }
}
