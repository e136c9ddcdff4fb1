import Addresses
import Calls
import Clock
import Portmapper

/// The questions to one portmapper.
struct SharedQuestions<Asker: Sendable> {
    /// Questions of version 2, most of which are the same few: they are found without a copy of the question.
    private var ports = SharedAnswers<Mapping, Asker>()
    private var others = SharedAnswers<Question, Asker>()

    /// The number of different questions that are sent, or wait in a channel to be sent.
    var count: Int { ports.count + others.count }

    /// Whether the question has to be sent now.
    mutating func join(_ asker: Asker, _ question: Question, at now: Instant) -> Bool {
        if case .port(let mapping) = question {
            ports.join(asker, mapping, at: now)
        } else {
            others.join(asker, question, at: now)
        }
    }

    /// The askers that the answer serves, whether the question has to be sent again for others, and when it was
    /// sent.
    mutating func answered(
        _ question: Question, at now: Instant
    ) -> (served: Askers<Asker>, isAskedAgain: Bool, since: Instant?) {
        if case .port(let mapping) = question {
            ports.answered(mapping, at: now)
        } else {
            others.answered(question, at: now)
        }
    }
}

/// Shares one answer among askers of the same question, never an answer that is older than the question.
///
/// ```
/// nobody asks ──join──▶ sent ──join──▶ sent, and others wait ──answered──▶ sent (for those who waited)
///                        └──answered──▶ nobody asks
/// ```
struct SharedAnswers<Question: TableKey, Asker: Sendable>: Sendable where Question: Sendable {
    private struct Sent {
        var askers: Askers<Asker>
        /// Askers that came after the question was sent.
        var waiting = Askers<Asker>()
        var since: Instant
    }

    private var sent: [Question: Sent] = [:]

    var count: Int { sent.count }

    func isAsked(_ question: Question) -> Bool { sent[question] != nil }

    /// Whether the question has to be sent now.
    mutating func join(_ asker: Asker, _ question: Question, at now: Instant) -> Bool {
        if let place = sent.index(forKey: question) {
            sent.values[place].waiting.append(asker)
            return false
        }
        sent[question] = Sent(askers: Askers(asker), since: now)
        return true
    }

    /// The askers that the answer serves, whether the question has to be sent again for others, and when it was
    /// sent.
    mutating func answered(
        _ question: Question, at now: Instant
    ) -> (served: Askers<Asker>, isAskedAgain: Bool, since: Instant?) {
        guard let answered = sent.removeValue(forKey: question) else { return (Askers(), false, nil) }
        guard !answered.waiting.isEmpty else { return (answered.askers, false, answered.since) }
        sent[question] = Sent(askers: answered.waiting, since: now)
        return (answered.askers, true, answered.since)
    }
}
