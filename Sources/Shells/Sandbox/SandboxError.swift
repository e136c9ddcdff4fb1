import Glibc
import System

/// A privilege could not be given up, or a process could not be made: the start must be aborted.
public struct SandboxError: Error, Hashable, Sendable, CustomStringConvertible {
    public var doing: String
    public var errno: Int32

    public var description: String { "\(doing): \(Errno(errno))" }
}

func check(_ number: Int32, _ doing: String) throws(SandboxError) {
    guard number == 0 else { throw SandboxError(doing: doing, errno: number) }
}
