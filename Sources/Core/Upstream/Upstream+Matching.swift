import Addresses
import Calls
import Portmapper

extension Upstream {
    private func answers(_ registration: Registration, _ lookUp: LookUp) -> Bool {
        registration.netID == lookUp.netID && (lookUp.isLocal || !registration.isForThisHostOnly)
            && site.holds(registration, at: lookUp.server)
    }

    /// The registration at the port that rpcbind answered with: a trusted owner's, if there is one.
    ///
    /// Any user may register another version of root's program. If rpcbind answers with such a registration, a
    /// trusted owner's registration for the same program and netid answers instead, so that no user hides root's.
    public mutating func match(_ lookUp: LookUp, at service: ServicePort) -> MatchedRegistration? {
        if let last = lastMatch, last.program == lookUp.program, last.answered == service, last.netID == lookUp.netID,
            !lookUp.isLocal, site.holds(last.registration, at: lookUp.server)
        {
            return last
        }
        var first: Registration?
        for registration in registry?.registrations(of: lookUp.program) ?? []
        where answers(registration, lookUp) && registration.service == service {
            if isTrusted(registration), !lookUp.isLocal {
                lastMatch = MatchedRegistration(registration, answered: service, isTrusted: true)
                return lastMatch
            }
            if first == nil { first = registration }
        }
        guard let first else { return nil }
        let answered = MatchedRegistration(first, answered: service, isTrusted: isTrusted(first))
        return lookUp.isLocal ? answered : match(lookUp) ?? answered
    }

    /// The registration that answers. It is chosen as rpcbind would choose it, from the registrations of trusted
    /// owners if there are any.
    public func match(_ lookUp: LookUp) -> MatchedRegistration? {
        let candidates = (registry?.registrations(of: lookUp.program) ?? []).filter {
            answers($0, lookUp) && (!lookUp.isExact || $0.version == lookUp.version)
        }
        let trusted = lookUp.isLocal ? nil : candidates.filter { isTrusted($0) }.chosen(for: lookUp.version)
        return (trusted ?? candidates.chosen(for: lookUp.version)).flatMap {
            MatchedRegistration($0, answered: nil, isTrusted: isTrusted($0))
        }
    }
}
