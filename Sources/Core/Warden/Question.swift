import Addresses
import Clock
import Portmapper

/// What is asked of the real rpcbind, over its unix socket. Equal questions may share one answer.
public enum Question: TableKey, Sendable {
    /// GETPORT of version 2, for look-ups over IPv4 netids of every version.
    case port(Mapping)
    /// DUMP of version 4: the snapshot, listings, and look-ups that GETPORT can't answer.
    case registry
    /// SET or UNSET of this host's root, with `local-registration`.
    case registration(PortmapperCall)

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

/// What rpcbind answered.
public enum RpcbindAnswer: Hashable, Sendable {
    /// 0: not registered.
    case port(UInt32)
    case registry(Listing)
    /// Whether SET or UNSET did what it was asked.
    case registration(Bool)
}

/// Why rpcbind gave no usable answer.
public enum RpcbindFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case timedOut
    case unreachable(String)
    case refused(String)
    /// Too many questions wait already.
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

/// Shares one answer among those who ask the same, never an answer that is older than the question.
///
/// ```
/// nobody asks ──join──▶ sent ──join──▶ sent, and others wait ──answered──▶ sent (for those who waited)
///                        └──answered──▶ nobody asks
/// ```
struct SharedQuestions<Asker: Sendable> {
    private struct Sent {
        var askers: [Asker]
        /// Those who came after it was sent.
        var waiting: [Asker] = []
        var since: Instant
    }

    /// Of version 2, most questions are the same few: they are found without a copy of the question.
    private var ports: [Mapping: Sent] = [:]
    private var others: [Question: Sent] = [:]

    /// Different questions that are sent, or wait in a channel to be.
    var count: Int { ports.count + others.count }

    /// Whether the question has to be sent now.
    mutating func join(_ asker: Asker, _ question: Question, at now: Instant) -> Bool {
        if case .port(let mapping) = question {
            Self.join(asker, mapping, of: &ports, at: now)
        } else {
            Self.join(asker, question, of: &others, at: now)
        }
    }

    private static func join<Key: TableKey>(
        _ asker: Asker, _ key: Key, of sent: inout [Key: Sent], at now: Instant
    ) -> Bool {
        if let place = sent.index(forKey: key) {
            sent.values[place].waiting.append(asker)
            return false
        }
        sent[key] = Sent(askers: [asker], since: now)
        return true
    }

    /// Those whom the answer serves, whether the question has to be sent again for others, and how long it took.
    mutating func answered(
        _ question: Question, at now: Instant
    ) -> (served: [Asker], isAskedAgain: Bool, latency: Duration?) {
        if case .port(let mapping) = question {
            Self.answered(mapping, of: &ports, at: now)
        } else {
            Self.answered(question, of: &others, at: now)
        }
    }

    private static func answered<Key: TableKey>(
        _ key: Key, of sent: inout [Key: Sent], at now: Instant
    ) -> (served: [Asker], isAskedAgain: Bool, latency: Duration?) {
        guard let answered = sent.removeValue(forKey: key) else { return ([], false, nil) }
        let latency = now - answered.since
        guard !answered.waiting.isEmpty else { return (answered.askers, false, latency) }
        sent[key] = Sent(askers: answered.waiting, since: now)
        return (answered.askers, true, latency)
    }
}
