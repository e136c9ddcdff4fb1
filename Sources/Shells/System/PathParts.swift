import Glibc

/// A path cut before its last name, as dirname(3) and basename(3) cut it.
public struct PathParts: Hashable, Sendable {
    /// `nil` without a slash: it is in the working folder. `/` for a file of the root.
    public var folder: String?
    public var name: String

    public init(_ path: String) {
        var path = path[...]
        while path.count > 1, path.last == "/" { path.removeLast() }
        guard let slash = path.lastIndex(of: "/") else {
            name = String(path)
            return
        }
        name = String(path[path.index(after: slash)...])
        var folder = path[..<slash]
        while folder.last == "/" { folder.removeLast() }
        self.folder = folder.isEmpty ? "/" : String(folder)
    }
}

/// Where the path leads, all links resolved; `nil` if nothing is there, with the reason in `errno`.
public func resolvedPath(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
}
