/// The names of the portmapper's procedures in the audit log and the metrics.
public enum ProcedureName: String, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case null, set, unset
    case getPort = "getport"
    case getAddress = "getaddr"
    case getVersionAddress = "getversaddr"
    case getAddressList = "getaddrlist"
    case dump
    case callIt = "callit"
    case broadcast = "bcast"
    case indirect
    case getTime = "gettime"
    case universalToTransportAddress = "uaddr2taddr"
    case transportToUniversalAddress = "taddr2uaddr"
    case getStatistics = "getstat"

    /// `nil`: the version has no such procedure.
    public init?(_ version: PortmapperVersion, number: UInt32) {
        let all: [Self] =
            switch version {
            case .v2: [.null, .set, .unset, .getPort, .dump, .callIt]
            case .v3: Self.both + [.callIt] + Self.conversions
            case .v4: Self.both + [.broadcast] + Self.conversions + Self.ofVersion4
            }
        guard let index = Int(exactly: number), all.indices.contains(index) else { return nil }
        self = all[index]
    }

    private static let both: [Self] = [.null, .set, .unset, .getAddress, .dump]
    private static let conversions: [Self] = [.getTime, .universalToTransportAddress, .transportToUniversalAddress]
    private static let ofVersion4: [Self] = [.getVersionAddress, .indirect, .getAddressList, .getStatistics]

    public func hash(into hasher: inout Hasher) { hasher.combine(caseOf: self) }
}
