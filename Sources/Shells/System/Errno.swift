import Glibc

/// A number of errno(3), as an error with its text.
public struct Errno: Error, Hashable, Sendable, CustomStringConvertible {
    public var code: Int32

    /// - Parameter code: by default the error of the last call.
    public init(_ code: Int32 = errno) { self.code = code }

    public var description: String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }
}
