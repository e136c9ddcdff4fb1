import CSandbox
import Glibc

/// The user that the daemon becomes if root starts it.
public struct ServiceUser: Hashable, Sendable {
    public let name: String
    public let id: UInt32
    public let group: UInt32

    /// The daemon's: the package's own user, or the user that owns no files.
    public static let daemonNames = ["rpcwarden", "nobody"]
    /// Linux's overflowuid, for hosts without a list of users.
    private static let overflow: UInt32 = 65_534

    /// The user to become, or `nil` if the process has no ID of root's.
    /// - Parameter names: the first that exists is taken.
    public static func needed(among names: [String] = daemonNames) -> ServiceUser? {
        csb_is_roots() != 0 ? find(names) : nil
    }

    static func find(_ names: [String]) -> ServiceUser {
        for name in names {
            // A user of that name with root's uid would be a mistake with severe effects, so it is skipped.
            guard let user = getpwnam(name)?.pointee, user.pw_uid != 0 else { continue }
            return ServiceUser(name: name, id: user.pw_uid, group: user.pw_gid)
        }
        return ServiceUser(name: "\(overflow)", id: overflow, group: overflow)
    }
}
