/// The file system's answer to a reader of configuration and policy.
public enum FileAnswer: Hashable, Sendable {
    /// The file's bytes; one more than a reader takes shows that the file is too long.
    case file([UInt8])
    /// The names in a folder that end in `.yaml` or `.yml`, sorted; one more than a reader takes shows that there are
    /// too many.
    case folder([String])
    case failure(errno: Int32)
}

/// The answers of one reading, by path: who reads from them finds what that reading found.
public typealias FilesRead = [String: FileAnswer]
