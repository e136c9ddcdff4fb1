/// Why a request failed. All but `lost` and `timedOut` came from etcd, or are about the answer's form.
public enum EtcdError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No member answered, or the one asked has no leader. A write may have been done.
    case lost(String)
    /// A write may have been done.
    case timedOut
    /// By gRPC's code: no permission, no such user, a wrong password, a full disk.
    case refused(code: Int, message: String)
    /// The revision is no longer kept. A range isn't told up to which; a watch is.
    case compacted(Int64?)
    case leaseNotFound
    /// The request is beyond etcd's limit, or the response beyond ours.
    case tooLarge
    /// Too many questions wait already.
    case busy
    case malformed(String)

    public var description: String {
        switch self {
        case .lost(let reason): reason
        case .timedOut: "no answer within the time"
        case .refused(_, let message): message
        case .compacted: "the revision is compacted"
        case .leaseNotFound: "the lease is gone"
        case .tooLarge: "the request or its response is too large"
        case .busy: "too many requests are waiting"
        case .malformed(let detail): "the response can't be read: \(detail)"
        }
    }
}
