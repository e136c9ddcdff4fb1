import Glibc

/// The owners of registrations that are trusted, as rpcbind shows them.
public enum Owners {
    /// rpcbind names root `superuser`, and anybody else by uid; names that this host lacks are passed over.
    public static func trusted(_ names: [String]) -> Set<String> {
        Set(names.compactMap(shown))
    }

    private static func shown(_ name: String) -> String? {
        if name == "superuser" || name == "root" || name == "0" { return "superuser" }
        if UInt32(name) != nil { return name }
        guard let user = getpwnam(name) else { return nil }
        return user.pointee.pw_uid == 0 ? "superuser" : String(user.pointee.pw_uid)
    }
}
