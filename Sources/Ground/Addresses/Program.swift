/// An RPC program number.
public struct Program: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
    public var rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// The portmapper itself (RFC 1833, 3: PMAP_PROG, RPCBPROG).
    public static let portmapper = Program(100_000)
    public static let nfs = Program(100_003)
    public static let mountd = Program(100_005)
    public static let nlockmgr = Program(100_021)
    public static let status = Program(100_024)

    /// Numbers that a service uses only while it runs (RFC 5531, 8.1: transient), as yppush does.
    public static let transient = Program(0x4000_0000)...Program(0x5fff_ffff)

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    public var description: String { String(rawValue) }
}
