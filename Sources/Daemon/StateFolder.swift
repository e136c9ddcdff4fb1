import Gate
import Glibc
import System

/// The folder that keeps the guard from one boot to the next: STATE_DIRECTORY, as systemd sets it.
struct StateFolder: Sendable {
    static let path = "/var/lib/rpcwarden"
    /// The unit's StateDirectory: the folder above it holds setup's record, which only root may change.
    static let unitPath = "/var/lib/rpcwarden/daemon"

    var path: String
    var file: GuardFile { GuardFile(folder: path) }
    var bundleFile: BundleFile { BundleFile(folder: path) }
    var keptBundle: KeptBundle { KeptBundle(folder: path) }

    /// The path of the folder, whether or not it exists.
    ///
    /// - Parameter isOfUser: the daemon becomes another user, which must own the folder: the one above it is root's.
    init(
        isOfUser: Bool = false, environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }
    ) {
        // systemd separates several paths with colons.
        let named = environment("STATE_DIRECTORY")?.split(separator: ":").first.map(String.init)
        if let named, named.hasPrefix("/") {
            // That folder stays root's, for setup's record.
            path = Self.isSame(named, Self.path) ? Self.unitPath : named
        } else {
            path = isOfUser || Self.isFolder(Self.unitPath) ? Self.unitPath : Self.path
        }
    }

    /// Makes the last component of the path; of rpcwarden's own folder also the one above.
    func make() throws(StateFileError) {
        if path == Self.unitPath { _ = Self.make(Self.path, mode: 0o755) }
        // Setup's record and the unit's folder must be reachable in the folder above; the saved guard is only for
        // rpcwarden's user.
        guard Self.make(path, mode: path == Self.unitPath ? 0o700 : 0o755) else {
            throw StateFileError(doing: "making", path: path, errno: errno)
        }
    }

    /// - Throws: if the user of this process can't reach the folder.
    func reach() throws(StateFileError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw StateFileError(doing: "reaching", path: path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw StateFileError(doing: "reaching", path: path, errno: ENOTDIR)
        }
    }

    /// Makes the folder with this mode whatever the umask; an existing folder stays as it is.
    private static func make(_ folder: String, mode: mode_t) -> Bool {
        guard mkdir(folder, mode) == 0 else { return errno == EEXIST }
        return chmod(folder, mode) == 0
    }

    /// Whether both paths are equal, or lead to the same folder.
    private static func isSame(_ folder: String, _ other: String) -> Bool {
        let plain = folder.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
        if "/" + plain == other { return true }
        var first = stat()
        var second = stat()
        guard stat(folder, &first) == 0, stat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

extension SavedGuard.Place {
    /// The boot of this host, and the network namespace of this process; `nil` if the kernel doesn't show them.
    ///
    /// Under the unit's `ProcSubset=pid` the kernel doesn't show the boot ID; there systemd passes it, by the
    /// unit's `%b`.
    static func here(environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }) -> Self? {
        guard let boot = environment("RPCWARDEN_BOOT_ID").map(hyphenated) ?? bootID() else { return nil }
        var status = stat()
        guard stat("/proc/self/ns/net", &status) == 0 else { return nil }
        return Self(boot: boot, network: UInt64(status.st_ino))
    }

    private static func bootID() -> String? {
        let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return hyphenated(String(decoding: bytes[..<count], as: UTF8.self))
    }

    /// The boot ID with hyphens: systemd writes the same 32 digits without them. `nil` if the text hasn't 32 digits.
    static func hyphenated(_ text: String) -> String? {
        let digits = Array(text.lowercased().utf8.filter { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "\n") })
        let isDigit = { (byte: UInt8) in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
        guard digits.count == 32, digits.allSatisfy(isDigit) else { return nil }
        let groups = [digits[..<8], digits[8..<12], digits[12..<16], digits[16..<20], digits[20...]]
        return groups.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-")
    }
}
