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

    public func hash(into hasher: inout Hasher) { hasher.combine(caseOf: self) }
}
