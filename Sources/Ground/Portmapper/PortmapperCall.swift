import Addresses

/// The versions of program 100000 (RFC 1833).
public enum PortmapperVersion: UInt32, Hashable, Sendable, CaseIterable {
    case v2 = 2
    case v3 = 3
    case v4 = 4
}

/// Limits for the strings and lists for which RFC 1833 has none.
public enum PortmapperLimits {
    /// The longest netid in use is `udplite6`.
    public static let netIDBytesMax = 64
    /// Enough for a universal address, or a unix socket's path (sun_path: 108).
    public static let addressBytesMax = 256
    public static let ownerBytesMax = 256
    /// Limit for registrations of trusted owners; those beyond it are the newest, and are left out.
    public static let registrationsMax = 16_384
    /// Limit for registrations of all other owners: any local user may make as many as memory holds.
    public static let untrustedRegistrationsMax = 4096
}

/// `mapping` of version 2 (RFC 1833, 3.1).
public struct Mapping: TableKey, Sendable {
    public var program: Program
    public var version: UInt32
    /// An IP protocol number; only those of ``Transport`` are ever registered.
    public var protocolNumber: UInt32
    public var port: UInt32

    public init(program: Program, version: UInt32, protocolNumber: UInt32, port: UInt32) {
        self.program = program
        self.version = version
        self.protocolNumber = protocolNumber
        self.port = port
    }

    @inlinable
    public func combine(into hash: inout TableHash) {
        hash.combine(UInt64(program.rawValue) << 32 | UInt64(version))
        hash.combine(UInt64(protocolNumber) << 32 | UInt64(port))
    }

    public var transport: Transport? { UInt8(exactly: protocolNumber).flatMap(Transport.init(rawValue:)) }
}

/// `rpcb` of versions 3 and 4 (RFC 1833, 2.1).
public struct RPCB: Hashable, Sendable {
    public var program: Program
    public var version: UInt32
    public var netID: String
    public var address: String
    public var owner: String

    public init(program: Program, version: UInt32, netID: String, address: String, owner: String) {
        self.program = program
        self.version = version
        self.netID = netID
        self.address = address
        self.owner = owner
    }
}

/// The procedure that CALLIT, BCAST and INDIRECT request; the arguments are not kept (RFC 1833, 2.1:
/// rpcb_rmtcallargs).
public struct RemoteCall: Hashable, Sendable {
    public var program: Program
    public var version: UInt32
    public var procedure: UInt32

    public init(program: Program, version: UInt32, procedure: UInt32) {
        self.program = program
        self.version = version
        self.procedure = procedure
    }
}

/// A call of program 100000, completely decoded.
///
/// What has text in it is indirect: a call changes hands a dozen times.
public enum PortmapperCall: Hashable, Sendable {
    case null(PortmapperVersion)
    case setMapping(Mapping)
    case unsetMapping(Mapping)
    case getPort(Mapping)
    indirect case set(PortmapperVersion, RPCB)
    indirect case unset(PortmapperVersion, RPCB)
    indirect case getAddress(PortmapperVersion, RPCB)
    indirect case getVersionAddress(RPCB)
    indirect case getAddressList(RPCB)
    case dump(PortmapperVersion)
    case callIt(PortmapperVersion, RemoteCall)
    case broadcast(RemoteCall)
    case indirect(RemoteCall)
    case getTime(PortmapperVersion)
    indirect case universalToTransportAddress(PortmapperVersion, String)
    case transportToUniversalAddress(PortmapperVersion)
    case getStatistics

    public var version: PortmapperVersion {
        switch self {
        case .setMapping, .unsetMapping, .getPort: .v2
        case .null(let version), .set(let version, _), .unset(let version, _), .getAddress(let version, _),
            .dump(let version), .callIt(let version, _), .getTime(let version),
            .universalToTransportAddress(let version, _), .transportToUniversalAddress(let version):
            version
        case .getVersionAddress, .getAddressList, .broadcast, .indirect, .getStatistics: .v4
        }
    }

    /// The procedure's number (RFC 1833, 2.2 and 3.2).
    public var procedureNumber: UInt32 {
        switch self {
        case .null: 0
        case .setMapping, .set: 1
        case .unsetMapping, .unset: 2
        case .getPort, .getAddress: 3
        case .dump: 4
        case .callIt, .broadcast: 5
        case .getTime: 6
        case .universalToTransportAddress: 7
        case .transportToUniversalAddress: 8
        case .getVersionAddress: 9
        case .indirect: 10
        case .getAddressList: 11
        case .getStatistics: 12
        }
    }

    /// The procedure's name, the same in all versions.
    public var procedureName: ProcedureName {
        switch self {
        case .null: .null
        case .setMapping, .set: .set
        case .unsetMapping, .unset: .unset
        case .getPort: .getPort
        case .getAddress: .getAddress
        case .getVersionAddress: .getVersionAddress
        case .getAddressList: .getAddressList
        case .dump: .dump
        case .callIt: .callIt
        case .broadcast: .broadcast
        case .indirect: .indirect
        case .getTime: .getTime
        case .universalToTransportAddress: .universalToTransportAddress
        case .transportToUniversalAddress: .transportToUniversalAddress
        case .getStatistics: .getStatistics
        }
    }

    /// The purpose of the call, whatever its version and form.
    public enum Kind: Sendable {
        case null
        /// A look-up of a program: one address, or all addresses of one version.
        case lookup
        /// A listing of all registrations.
        case listing
        /// SET and UNSET.
        case registration
        /// A call of another program's procedure through the portmapper.
        case remote
        /// Procedures that rpcwarden doesn't serve: time, address conversion, statistics.
        case unserved
    }

    public var kind: Kind {
        switch self {
        case .null: .null
        case .getPort, .getAddress, .getVersionAddress, .getAddressList: .lookup
        case .dump: .listing
        case .set, .unset, .setMapping, .unsetMapping: .registration
        case .callIt, .broadcast, .indirect: .remote
        case .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics: .unserved
        }
    }

    /// The program and version that the call is about; `nil` if it is about none.
    public var subject: (program: Program, version: UInt32)? {
        switch self {
        case .setMapping(let mapping), .unsetMapping(let mapping), .getPort(let mapping):
            (mapping.program, mapping.version)
        case .set(_, let rpcb), .unset(_, let rpcb), .getAddress(_, let rpcb), .getVersionAddress(let rpcb),
            .getAddressList(let rpcb):
            (rpcb.program, rpcb.version)
        case .callIt(_, let call), .broadcast(let call), .indirect(let call): (call.program, call.version)
        case .null, .dump, .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics: nil
        }
    }
}
