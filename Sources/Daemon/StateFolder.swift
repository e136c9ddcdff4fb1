import Glibc
import Warden

/// Where the guard is kept from one boot to the next: STATE_DIRECTORY, as systemd sets it.
struct StateFolder: Sendable {
    static let path = "/var/lib/rpcwarden"
    /// The unit's StateDirectory: the folder above it holds setup's record, which is root's alone.
    static let unitPath = "/var/lib/rpcwarden/daemon"

    var path: String
    var file: GuardFile { GuardFile(folder: path) }

    /// The folder, whether or not it is there.
    ///
    /// - Parameter isOfUser: the daemon becomes another user, whose own the folder has to be: the one above it is root's.
    init(
        isOfUser: Bool = false, environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }
    ) {
        // There may be several, with colons between them.
        let named = environment("STATE_DIRECTORY")?.split(separator: ":").first.map(String.init)
        if let named, named.hasPrefix("/") {
            // That one stays root's, for setup's record.
            path = Self.isSame(named, Self.path) ? Self.unitPath : named
        } else {
            path = isOfUser || Self.isFolder(Self.unitPath) ? Self.unitPath : Self.path
        }
    }

    /// Only its last part is ours to make, or of our own place both.
    func make() throws(GuardFileError) {
        if path == Self.unitPath { _ = Self.make(Self.path, mode: 0o755) }
        // Setup's record and the unit's folder are to be found in the one above; what we write is for us alone.
        guard Self.make(path, mode: path == Self.unitPath ? 0o700 : 0o755) else {
            throw GuardFileError(doing: "making", path: path, errno: errno)
        }
    }

    /// - Throws: if the user that this process is doesn't get as far as the folder.
    func reach() throws(GuardFileError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw GuardFileError(doing: "reaching", path: path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw GuardFileError(doing: "reaching", path: path, errno: ENOTDIR)
        }
    }

    /// With this mode whatever the umask; one that is there stays as it is.
    private static func make(_ folder: String, mode: mode_t) -> Bool {
        guard mkdir(folder, mode) == 0 else { return errno == EEXIST }
        return chmod(folder, mode) == 0
    }

    /// By name, or by what is found there.
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
    /// This boot of this host, and the network namespace of this process; `nil` if the kernel doesn't tell.
    ///
    /// Under the unit's `ProcSubset=pid` it doesn't: there systemd does, by the unit's `%b`.
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

    /// systemd writes the same 32 digits without hyphens; what isn't 32 digits is no boot's.
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
