public enum EtcdChange: Hashable, Sendable {
    case put(EtcdKeyValue)
    case delete(key: [UInt8], revision: Int64)

    public var revision: Int64 {
        switch self {
        case .put(let record): record.modRevision
        case .delete(_, let revision): revision
        }
    }
}

/// What a watch tells: `opened`, any number of `changed`, and `ended` once.
public enum EtcdWatchEvent: Hashable, Sendable {
    /// Every range is watched. `revision` is the store's.
    case opened(revision: Int64)
    /// Changes of one range in their order; `range` is its place in the question.
    ///
    /// Of this range everything up to `revision` has been told. Ranges of a watch don't wait for each other.
    case changed(range: Int, [EtcdChange], revision: Int64)
    case ended(EtcdWatchEnd)
}

public enum EtcdWatchEnd: Hashable, Sendable {
    case lost(String)
    /// The oldest revision that is kept; what happened before has to be read.
    case compacted(Int64)
    case canceled(String)
}
