import Addresses
import Portmapper

/// A question to a portmapper: this host's real rpcbind, or a server's. Equal questions may share one answer.
public enum Question: TableKey, Sendable {
    /// GETPORT of version 2, for look-ups over IPv4 netids of every version.
    case port(Mapping)
    /// DUMP: the snapshot, listings, and look-ups that GETPORT can't answer. Version 4, or an older one if the
    /// portmapper lacks it and is a server's.
    case registry
    /// SET or UNSET of this host's root, with `local-registration`.
    indirect case registration(PortmapperCall)

    public var call: PortmapperCall {
        switch self {
        case .port(let mapping): .getPort(mapping)
        case .registration(let call): call
        case .registry: .dump(.v4)
        }
    }

    public func combine(into hash: inout TableHash) {
        switch self {
        case .registry: hash.combine(0)
        case .port(let mapping): mapping.combine(into: &hash)
        case .registration(let call):
            guard let (program, version) = call.subject else { return }
            hash.combine(UInt64(program.rawValue) << 32 | UInt64(version))
        }
    }
}

/// rpcbind's answer.
public enum RpcbindAnswer: Hashable, Sendable {
    /// 0: not registered.
    case port(UInt32)
    case registry(Listing)
    /// Whether SET or UNSET succeeded.
    case registration(Bool)
}

/// The reason for which rpcbind gave no usable answer.
public enum RpcbindFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case timedOut
    case unreachable(String)
    case refused(String)
    /// Too many questions are waiting already.
    case busy

    public var description: String {
        switch self {
        case .timedOut: "rpcbind did not answer in time"
        case .unreachable(let detail): "rpcbind can't be reached: \(detail)"
        case .refused(let detail): "rpcbind gave no result: \(detail)"
        case .busy: "too many questions wait for rpcbind"
        }
    }
}
