import AuditLog
import Configuration
import Control
import Glibc
import PortmapServer
import Sandbox
import System

/// A setting that can't be followed: its value, the error, and the remedy.
public struct SettingFault: Error, Hashable, Sendable, CustomStringConvertible {
    public var setting: String
    public var value: String
    public var code: Int32
    public var remedy: String

    public var description: String {
        "\(setting): \"\(value)\": \(Errno(code)); \(remedy)"
    }
}

/// Resources that the daemon opened, and facts that it queried, while it had the rights.
struct Belongings {
    var listening: [ListeningSocket]
    /// The folder for the saved guard; `nil`: the guard is not saved.
    var state: StateFolder?
    var audit: AuditDestination
    var control: ControlSocket
    /// `nil`: rpcwarden-fleet has nothing to do here.
    var fleet: ControlSocket?
    var notifier: Notifier
    /// Trusted owners of registrations, as rpcbind shows them; looked up early, since user names may be resolved
    /// over a socket.
    var trustedOwners: Set<String>
}

/// Takes the daemon from the rights that it is started with to the few that it keeps.
struct Startup {
    let settings: Settings
    /// The user that the process becomes if root started it; `nil` if it runs as the right user already.
    let user: ServiceUser?

    /// The user that must be able to read and write, as named in messages.
    private var userName: String { user?.name ?? "uid \(geteuid())" }
    /// The same user, as written in commands.
    private var owner: String { user?.name ?? "\(geteuid())" }

    private static let logFolder = "/var/log/rpcwarden"

    // MARK: With all rights

    /// Makes the folder of the control socket; only the last component of its path is made.
    func makeRunDirectory() throws(SettingFault) {
        let directory = folder(of: settings.controlPath)
        let isMade = mkdir(directory, 0o755) == 0
        guard isMade || errno == EEXIST else {
            throw SettingFault(
                setting: "control", value: settings.controlPath, code: errno,
                remedy: "make its folder, or name another path")
        }
        // The default folder is rpcwarden's even if an earlier version made it; other existing folders may belong
        // to other software.
        guard let user, isMade || directory == folder(of: Settings().controlPath) else { return }
        // If this fails and matters, `checkRunDirectory` reports it.
        _ = chown(directory, user.id, user.group)
    }

    /// Makes the socket for rpcwarden-fleet, whose group may connect; `nil`: it has nothing to do here.
    func makeFleetSocket() throws -> ControlSocket? {
        guard let fleet = settings.fleet, fleet.isLinked else { return nil }
        let group = getgrnam(FleetLink.groupName)?.pointee.gr_gid
        // Without the sidecar's package there is no such group, and the unit permits no chown.
        let owner = user == nil && group == nil ? nil : (user?.id ?? geteuid(), group ?? user?.group ?? getegid())
        do throws(ControlServerError) {
            return try ControlSocket(at: fleet.socketPath, setting: "fleet.socket", owner: owner)
        } catch {
            guard group != nil else { throw error }
            // In a container, say: the daemon isn't of that group, and the portmapper must go on.
            writeError("rpcwarden: \(error); rpcwarden-fleet may not reach the daemon (SupplementaryGroups=)")
            return try ControlSocket(at: fleet.socketPath, setting: "fleet.socket")
        }
    }

    /// Makes the folder for the saved guard; without it the daemon runs all the same.
    func makeStateFolder() -> StateFolder? {
        let state = StateFolder(isOfUser: user != nil)
        do {
            try state.make()
            if let user { _ = lchown(state.path, user.id, user.group) }
            return state
        } catch {
            writeError("rpcwarden: the guard can't be saved for the next boot: \(error)")
            return nil
        }
    }

    // MARK: As the user that serves strangers

    /// Drops the rights once every socket below 1024 is bound: from here on this process has no capability,
    /// doesn't run as root, and makes no unix sockets except those made here.
    ///
    /// - Parameter state: the state folder; not used if the new user can't reach it.
    func giveUpRights(
        _ listening: [ListeningSocket], _ state: StateFolder?, fleet: ControlSocket? = nil
    ) throws -> Belongings {
        if let user {
            do throws(SandboxError) { try Privileges.become(user) } catch { throw ServeError.user(error) }
        }
        try Privileges.keep(only: nil)
        try checkRunDirectory()
        let belongings = Belongings(
            listening: listening, state: reachable(state), audit: try auditDestination(),
            control: try ControlSocket(at: settings.controlPath), fleet: fleet, notifier: Notifier(),
            trustedOwners: Owners.trusted(settings.rpcbind))
        // If either is missing, the netfilter process reports it.
        _ = try Privileges.onlyWriteFiles(
            beneath: Set(
                ([settings.controlPath] + auditPaths + (fleet.map { [$0.path] } ?? [])).map(folder)
                    + (belongings.state.map { [$0.path] } ?? [])
            ).sorted(),
            usesAbstractSockets: belongings.notifier.isAbstract)
        _ = try Privileges.noUnneededCalls(makesUnixSockets: false)
        return belongings
    }

    /// If the guard can't be saved, clients are served all the same.
    func reachable(_ state: StateFolder?) -> StateFolder? {
        guard let state else { return nil }
        do {
            try state.reach()
            return state
        } catch {
            writeError("rpcwarden: the guard can't be saved for the next boot: \(error), as \(userName)")
            return nil
        }
    }

    private func checkRunDirectory() throws(SettingFault) {
        let directory = folder(of: settings.controlPath)
        guard access(directory, W_OK | X_OK) != 0 else { return }
        throw SettingFault(setting: "control", value: settings.controlPath, code: errno, remedy: controlRemedy)
    }

    /// Suggests a folder of rpcwarden's own, never a change to others: /run and /var/log hold files of other software.
    var controlRemedy: String {
        let path = Settings().controlPath
        return "\(userName) must be able to write to its folder; make a folder for it: "
            + "install -d -o \(owner) \(folder(of: path)), and set control: \(path)"
    }

    /// The file is opened here as the user that will reopen it at each SIGHUP.
    private func auditDestination() throws -> AuditDestination {
        do throws(AuditLogError) {
            return try AuditDestination(settings.audit)
        } catch {
            guard settings.audit.destination == .file, let path = settings.audit.file else { throw error }
            throw SettingFault(
                setting: "audit.file", value: path, code: error.code, remedy: auditRemedy(path, error.code))
        }
    }

    func auditRemedy(_ path: String, _ code: Int32) -> String {
        let folder = folder(of: path)
        return switch code {
        case ENOENT: "make the folder: install -d -o \(owner) \(folder)"
        case EACCES where folder == Self.logFolder, EPERM where folder == Self.logFolder:
            "\(userName) must be able to write there: install -d -o \(owner) \(folder); for an existing file: "
                + "chown \(owner) \(path)"
        case EACCES, EPERM:
            "\(userName) must be able to write there; make a folder for it: "
                + "install -d -o \(owner) \(Self.logFolder), and set audit.file: \(Self.logFolder)/audit.jsonl"
        case ELOOP: "it is a symbolic link; name its target"
        case EISDIR: "it is a folder; name a file"
        default: "name another file, or another destination (audit.to)"
        }
    }

    /// A warning if a file that `reload` needs can't be read by this user.
    func unreadable(_ files: [String]) -> String? {
        guard user != nil, let file = files.first(where: { access($0, R_OK) != 0 }) else { return nil }
        let code = errno
        return "rpcwarden: \"\(file)\": \(Errno(code)) for user \(userName), as which the daemon"
            + " runs: `reload` will be refused; chgrp \(userName) the file and its folder, and let the group read them"
    }

    /// The path of the audit log's file as named, and its real path if it has a symbolic link.
    private var auditPaths: [String] {
        guard settings.audit.destination == .file, let path = settings.audit.file else { return [] }
        return [path] + (resolvedPath(path).map { [$0] } ?? [])
    }

    private func folder(of path: String) -> String {
        PathParts(path).folder ?? "."
    }
}
