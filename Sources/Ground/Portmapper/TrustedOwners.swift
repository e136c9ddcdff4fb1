/// The owners whose registrations are trusted, as a portmapper shows them: `superuser`, or a uid in decimal.
public struct TrustedOwners: Hashable, Sendable {
    public var names: Set<String>
    /// The uids 1 to 999, which distributions give to the users of services.
    public var includesSystem: Bool
    /// Every owner is trusted, also an unknown one.
    public var includesAll: Bool

    private static let system: ClosedRange<UInt32> = 1...999

    public init(_ names: Set<String>, includesSystem: Bool = false, includesAll: Bool = false) {
        self.names = names
        self.includesSystem = includesSystem
        self.includesAll = includesAll
    }

    public func contains(_ owner: String) -> Bool {
        if includesAll || names.contains(owner) { return true }
        guard includesSystem, let uid = UInt32(owner) else { return false }
        return Self.system.contains(uid)
    }

    /// The uids of these owners' sockets on this host. `nil`: an owner is no user, so its sockets can't be recognized.
    public var uids: Set<UInt32>? {
        let uids = names.map { $0 == "superuser" ? 0 : UInt32($0) }
        return includesAll || uids.contains(nil)
            ? nil : Set(uids.compactMap(\.self)).union(includesSystem ? Set(Self.system) : [])
    }
}

extension TrustedOwners: ExpressibleByArrayLiteral {
    public init(arrayLiteral names: String...) { self.init(Set(names)) }
}
