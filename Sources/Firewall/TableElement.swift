import Portmapper

/// Which element of our table it is.
public enum TableElement: Hashable, Sendable {
    case guarded(ServicePort)
    case granted(GrantKey)
    case remembered(GrantKey)
    case standing(StandingKey)
    case quarantined(IPAddress)
}
