/// The owners whose registrations are trusted, as their portmapper tells them: `superuser`, or a uid in decimal.
public struct TrustedOwners: Hashable, Sendable, ExpressibleByArrayLiteral {
    /// Users of a system's own services. Uid 0 is told as `superuser`.
    private static let systemUIDs: ClosedRange<UInt32> = 1...999

    private let names: Set<String>
    private let trustsSystem: Bool
    private let trustsAll: Bool

    /// These owners and no others.
    public init(_ names: Set<String>) {
        self.names = names
        trustsSystem = false
        trustsAll = false
    }

    public init(arrayLiteral names: String...) { self.init(Set(names)) }

    /// Owners at another host, whose users this host doesn't know: `superuser`, uids in decimal, `system` for uids 1
    /// to 999, or `any`.
    public init(atServer words: [String]) {
        names = Set(words.map { $0 == "root" || $0 == "0" ? "superuser" : $0 }).subtracting(["system", "any"])
        trustsSystem = words.contains("system")
        trustsAll = words.contains("any")
    }

    /// The uids of these owners' sockets at this host. `nil`: an owner is no user, so its sockets can't be recognized.
    public var uids: Set<UInt32>? {
        let uids = names.map { $0 == "superuser" ? 0 : UInt32($0) }
        return trustsAll || trustsSystem || uids.contains(nil) ? nil : Set(uids.compactMap(\.self))
    }

    public func contains(_ owner: String) -> Bool {
        trustsAll || names.contains(owner) || trustsSystem && UInt32(owner).map(Self.systemUIDs.contains) == true
    }
}
