import Addresses
import Calls
import Portmapper

/// The registration that answers a look-up.
public final class MatchedRegistration: Sendable {
    public let program: Program
    /// The service in rpcbind's answer; the registration's own may be another, see ``Upstream/match(_:at:)``.
    let answered: ServicePort
    let netID: NetID
    public let service: ServicePort
    public let registration: Registration
    /// Whether the owner is trusted.
    public let isTrusted: Bool

    init?(_ registration: Registration, answered: ServicePort?, isTrusted: Bool) {
        guard let service = registration.service else { return nil }
        program = registration.program
        self.answered = answered ?? service
        netID = registration.netID
        self.service = service
        self.registration = registration
        self.isTrusted = isTrusted
    }
}

extension Registration {
    /// The address by which the peer reaches the service: the one that it asked, unless the service has one of its own.
    public func host(asked peer: Peer) -> IPAddress {
        guard let host = address?.host, !host.isUnspecified, peer.isLocal || !host.isLoopback else {
            return peer.asked.host
        }
        return host
    }
}

extension Sequence<Registration> {
    /// The registration that rpcbind chooses for a look-up of this version: the same version's, else the last
    /// one.
    func chosen(for version: UInt32) -> Registration? {
        var choice: Registration?
        for registration in self {
            choice = registration
            if registration.version == version { break }
        }
        return choice
    }
}
