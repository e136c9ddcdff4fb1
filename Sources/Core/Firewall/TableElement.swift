import Addresses

/// The identity of an element of our table.
public enum TableElement: Hashable, Sendable {
    case guarded(ServicePort)
    case granted(GrantKey)
    case remembered(GrantKey)
    case standing(StandingKey)
    case callers(CallersKey)
    case quarantined(IPAddress)
    case shielded(Transport)
}

extension TableElement: CustomStringConvertible {
    /// The operator's notation: `granted 192.0.2.7 tcp/2049`.
    public var description: String {
        switch self {
        case .guarded(let service): "guarded \(service)"
        case .granted(let key): "granted \(key)"
        case .remembered(let key): "remembered \(key)"
        case .standing(let key): "standing \(key)"
        case .callers(let key): "callers \(key)"
        case .quarantined(let client): "quarantined \(client)"
        case .shielded(let transport): "shielded \(transport)"
        }
    }
}
