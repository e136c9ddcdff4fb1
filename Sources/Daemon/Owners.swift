import Configuration
import Glibc

/// The owners of registrations that are trusted, as rpcbind shows them.
public enum Owners {
    /// The user that the unit and the package have for us.
    private static let ownName = "rpcwarden"
    /// Many run as nobody, and anybody's daemon may.
    private static let shared = ["nobody", "65534"]

    /// rpcbind names root `superuser`, and anybody else by uid; names that this host lacks are passed over.
    ///
    /// With `local-registration` ours are among them: what we register we register for root.
    public static func trusted(_ rpcbind: Settings.Rpcbind) -> Set<String> {
        let others = Set(rpcbind.owners.compactMap(shown))
        return rpcbind.permitsLocalRegistration ? others.union(own) : others
    }

    private static var own: Set<String> {
        Set(["\(geteuid())", ownName].compactMap(shown)).subtracting(shared.compactMap(shown))
    }

    /// Others run as our user: nothing that we register counts as root's.
    static var isOwnUserShared: Bool { shared.compactMap(shown).contains("\(geteuid())") }

    private static func shown(_ name: String) -> String? {
        if name == "superuser" || name == "root" || name == "0" { return "superuser" }
        if UInt32(name) != nil { return name }
        guard let user = getpwnam(name) else { return nil }
        return user.pointee.pw_uid == 0 ? "superuser" : String(user.pointee.pw_uid)
    }
}
