import Addresses
import Calls
import Clock

/// The questions to the portmappers of clients that servers call back. Each takes a descriptor while it is under way.
///
/// Whoever forges a server's address in datagrams makes this host ask clients: the questions are bounded, also for each
/// client, and so that calls over TCP have places of their own.
struct ClientQuestions: Sendable {
    enum Joining: Hashable, Sendable {
        /// The question has to be sent now.
        case sends
        /// An equal question is under way.
        case shares
        /// No place is left for the question.
        case full
    }

    static let questionsMax = 256
    static let questionsPerClientMax = 8

    private var shared = SharedAnswers<ClientQuestion, Exchange.ID>()
    private var counts: [Transport: Int] = [:]
    private var countOfClient: [Party: Int] = [:]

    private struct Party: Hashable {
        var client: IPAddress
        var transport: Transport

        init(_ question: ClientQuestion) { (client, transport) = (question.client, question.transport) }
    }

    var isEmpty: Bool { shared.count == 0 }

    mutating func ask(_ question: ClientQuestion, for id: Exchange.ID, at now: Instant) -> Joining {
        guard !shared.isAsked(question) else {
            _ = shared.join(id, question, at: now)
            return .shares
        }
        let party = Party(question)
        // Each transport has one half of the places.
        guard counts[question.transport, default: 0] < Self.questionsMax / 2,
            countOfClient[party, default: 0] < Self.questionsPerClientMax / 2
        else { return .full }
        counts[question.transport, default: 0] += 1
        countOfClient[party, default: 0] += 1
        return shared.join(id, question, at: now) ? .sends : .shares
    }

    /// The exchanges that the answer serves, and whether the question has to be sent again for others.
    mutating func answered(_ question: ClientQuestion, at now: Instant) -> (
        served: Askers<Exchange.ID>, isAskedAgain: Bool
    ) {
        let (served, isAskedAgain, since) = shared.answered(question, at: now)
        guard !isAskedAgain, since != nil else { return (served, isAskedAgain) }
        let party = Party(question)
        counts[question.transport, default: 1] -= 1
        let left = countOfClient[party, default: 1] - 1
        countOfClient[party] = left > 0 ? left : nil
        return (served, false)
    }
}
