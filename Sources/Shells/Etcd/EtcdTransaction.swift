/// What must hold for a transaction to be done.
public enum EtcdCompare: Hashable, Sendable {
    case isMissing(key: [UInt8])
    case value(of: [UInt8], is: [UInt8])
    case modRevision(of: [UInt8], is: Int64)
}

public enum EtcdOperation: Hashable, Sendable {
    /// - Parameter lease: 0: none.
    case put(key: [UInt8], value: [UInt8], lease: Int64)
    case delete(key: [UInt8])
    case deleteRange(EtcdRange)
}

public struct EtcdOutcome: Hashable, Sendable {
    /// `false`: a comparison failed, and nothing was done.
    public var succeeded: Bool
    public var revision: Int64
}

public struct EtcdLease: Hashable, Sendable {
    public var id: Int64
    public var seconds: Int64
}
