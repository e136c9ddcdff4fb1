import Configuration
import Glibc

/// The trusted owners of registrations, as rpcbind shows them.
public enum Owners {
    /// The user that the unit and the package create for rpcwarden.
    private static let ownName = "rpcwarden"
    /// Users that many services share.
    private static let shared = ["nobody", "65534"]

    /// rpcbind shows root as `superuser`, and other owners by uid; names that this host lacks are ignored.
    ///
    /// With `local-registration` rpcwarden's own user is among them: its registrations are made for root.
    public static func trusted(_ rpcbind: Settings.Rpcbind) -> Set<String> {
        let others = Set(rpcbind.owners.compactMap(shown))
        return rpcbind.permitsLocalRegistration ? others.union(own) : others
    }

    private static var own: Set<String> {
        Set(["\(geteuid())", ownName].compactMap(shown)).subtracting(shared.compactMap(shown))
    }

    /// Whether rpcwarden runs as a shared user: then its registrations don't count as root's.
    static var isOwnUserShared: Bool { shared.compactMap(shown).contains("\(geteuid())") }

    private static func shown(_ name: String) -> String? {
        if name == "superuser" || name == "root" || name == "0" { return "superuser" }
        if UInt32(name) != nil { return name }
        guard let user = getpwnam(name) else { return nil }
        return user.pointee.pw_uid == 0 ? "superuser" : String(user.pointee.pw_uid)
    }
}
