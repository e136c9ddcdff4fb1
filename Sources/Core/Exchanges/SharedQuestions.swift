import Addresses
import Calls
import Clock
import Portmapper

/// Shares one answer among askers of the same question, never an answer that is older than the question.
///
/// ```
/// nobody asks ──join──▶ sent ──join──▶ sent, and others wait ──answered──▶ sent (for those who waited)
///                        └──answered──▶ nobody asks
/// ```
struct SharedQuestions<Asker: Sendable> {
    private struct Sent {
        var askers: [Asker]
        /// Askers that came after the question was sent.
        var waiting: [Asker] = []
        var since: Instant
    }

    /// Questions of version 2, most of which are the same few: they are found without a copy of the question.
    private var ports: [Mapping: Sent] = [:]
    private var others: [Question: Sent] = [:]

    /// The number of different questions that are sent, or wait in a channel to be sent.
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

    /// The askers that the answer serves, whether the question has to be sent again for others, and when it was
    /// sent.
    mutating func answered(
        _ question: Question, at now: Instant
    ) -> (served: [Asker], isAskedAgain: Bool, since: Instant?) {
        if case .port(let mapping) = question {
            Self.answered(mapping, of: &ports, at: now)
        } else {
            Self.answered(question, of: &others, at: now)
        }
    }

    private static func answered<Key: TableKey>(
        _ key: Key, of sent: inout [Key: Sent], at now: Instant
    ) -> (served: [Asker], isAskedAgain: Bool, since: Instant?) {
        guard let answered = sent.removeValue(forKey: key) else { return ([], false, nil) }
        guard !answered.waiting.isEmpty else { return (answered.askers, false, answered.since) }
        sent[key] = Sent(askers: answered.waiting, since: now)
        return (answered.askers, true, answered.since)
    }
}
