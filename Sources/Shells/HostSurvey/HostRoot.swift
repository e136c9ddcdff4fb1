import Glibc
import System

/// The files of a host, beneath `/` or beneath the folder of `--root`.
public struct HostRoot: Sendable {
    /// Without a trailing slash; empty for `/`.
    public let path: String

    /// dpkg's status of a large host has 10 MB.
    private static let bytesMax = 64 << 20

    public init(_ path: String = "/") {
        var path = path
        while path.hasSuffix("/") { path.removeLast() }
        self.path = path
    }

    public var isFolder: Bool { isFolder("/") }

    /// The path of a file, with the links on the way to it followed beneath the root: an image's absolute links don't
    /// lead to this host's files.
    ///
    /// - Parameter followsLast: `false`: if the file itself is a link, its own path.
    private func place(_ file: String, followsLast: Bool = true) -> String {
        guard !path.isEmpty else { return file }
        var names = file.split(separator: "/").map(String.init)[...]
        var inside: [String] = []
        var links = 0
        while let name = names.popFirst() {
            switch name {
            case ".": continue
            case "..": _ = inside.popLast()
            default:
                inside.append(name)
                guard followsLast || !names.isEmpty, links < Self.linksMax,
                    let target = Self.target(path + "/" + inside.joined(separator: "/"))
                else { continue }
                links += 1
                inside = target.hasPrefix("/") ? [] : inside.dropLast()
                names = target.split(separator: "/").map(String.init)[...] + names
            }
        }
        let place = "/" + inside.joined(separator: "/")
        // systemd's mask; an image has no devices.
        return place == "/dev/null" ? place : path + place
    }

    /// As the kernel's MAXSYMLINKS.
    private static let linksMax = 40

    private static func target(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(path, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }

    func bytes(_ file: String) -> [UInt8]? {
        let descriptor = open(place(file), O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return Self.bytes(descriptor)
    }

    private static func bytes(_ descriptor: Int32) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count < bytesMax {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }

    func text(_ file: String) -> String? { bytes(file).map { String(decoding: $0, as: UTF8.self) } }

    /// The text of a file owned by root, or by the current user (images are made without root, too); `nil` for
    /// files of other users and for links.
    func ownText(_ file: String) -> String? {
        let place = place(file, followsLast: false)
        let descriptor = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, [0, geteuid()].contains(status.st_uid) else { return nil }
        return Self.bytes(descriptor).map { String(decoding: $0, as: UTF8.self) }
    }

    func exists(_ file: String) -> Bool { access(place(file), F_OK) == 0 }

    /// Whether there is such a file, or a link wherever it leads.
    func hasEntry(_ file: String) -> Bool {
        var status = stat()
        return lstat(place(file, followsLast: false), &status) == 0
    }

    func isFolder(_ file: String) -> Bool {
        var status = stat()
        return stat(place(file), &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The target of a link, such as `socket:[525]`.
    func link(_ file: String) -> String? { Self.target(place(file, followsLast: false)) }

    /// The names in a folder, sorted by their bytes; empty if the folder can't be read.
    func names(_ folder: String) -> [String] {
        do { return try Folder.names(in: place(folder)) } catch { return [] }
    }
}
