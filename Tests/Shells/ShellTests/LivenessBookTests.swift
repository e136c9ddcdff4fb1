import Addresses
import Calls
import Clock
import Configuration
import Testing

@testable import Liveness

@Suite("questions whether services live")
struct LivenessBookTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    /// A question about a service of the server 10.0.0.`server`.
    private func question(_ number: Int, at server: UInt32 = 1, _ transport: Transport = .tcp) -> LivenessQuestion {
        LivenessQuestion(
            address: .v4(0x0a00_0000 + server), service: ServicePort(transport, UInt16(number)), program: .nfs,
            version: 3)
    }

    private func questions(_ count: Int, at server: UInt32 = 1) -> [LivenessQuestion] {
        (1...count).map { question($0, at: server) }
    }

    /// A reference, since conditions of tests can't mutate a value.
    private final class Book {
        var book = LivenessBook()
        let start: Instant

        init(at start: Instant) { self.start = start }

        func look(
            _ id: UInt64, _ questions: [LivenessQuestion], _ how: Settings.Server.Liveness = .call,
            at now: Instant? = nil
        ) -> [LivenessBook.Answered] {
            book.look(id, questions, how: how, timeout: .seconds(1), source: nil, at: now ?? start)
        }

        func answer(_ question: LivenessQuestion, _ answer: LivenessAnswer) -> [LivenessBook.Answered] {
            book.answered(LivenessBook.Key(question: question, how: .call), answer, at: start)
        }

        func takeNext() -> [LivenessQuestion] { book.takeNext().map(\.key.question) }
    }

    @Test("a look is answered once all its questions are, whether asked once or twice")
    func together() {
        let book = Book(at: start)
        let (first, second) = (question(1), question(2))
        #expect(book.look(1, [first, second, first]).isEmpty)
        #expect(book.takeNext() == [first, second])
        #expect(book.answer(second, .dead).isEmpty)
        #expect(
            book.answer(first, .alive) == [LivenessBook.Answered(look: 1, answers: [first: .alive, second: .dead])])
        #expect(book.look(2, []) == [LivenessBook.Answered(look: 2, answers: [:])])
    }

    @Test("a question under way is shared by all looks that have it")
    func shared() {
        let book = Book(at: start)
        let (first, second) = (question(1), question(2))
        _ = book.look(1, [first])
        #expect(book.takeNext().count == 1)
        _ = book.look(2, [first, second])
        #expect(book.takeNext() == [second])
        #expect(book.answer(first, .alive) == [LivenessBook.Answered(look: 1, answers: [first: .alive])])
        #expect(
            book.answer(second, .alive) == [LivenessBook.Answered(look: 2, answers: [first: .alive, second: .alive])])
        #expect(book.answer(first, .alive).isEmpty, "nobody waits for it any more")
    }

    @Test(
        "an answer is remembered: alive for ten seconds, the others for two",
        arguments: [(LivenessAnswer.alive, 10_000), (.dead, 2000), (.refused, 2000)])
    func remembered(answer: LivenessAnswer, milliseconds: Int) {
        let book = Book(at: start)
        _ = book.look(1, [question(1)])
        _ = book.takeNext()
        _ = book.answer(question(1), answer)
        let last = start + .milliseconds(milliseconds - 1)
        #expect(
            book.look(2, [question(1)], at: last)
                == [LivenessBook.Answered(look: 2, answers: [question(1): answer])])
        #expect(book.look(3, [question(1)], .connect, at: last).isEmpty, "another mode is another question")
        #expect(book.takeNext().count == 1)
        #expect(book.look(4, [question(1)], at: start + .milliseconds(milliseconds)).isEmpty)
        #expect(book.takeNext().count == 1)
    }

    @Test("what needs no question is alive at once, and not remembered")
    func unasked() {
        let book = Book(at: start)
        let (tcp, udp) = (question(1), question(1, .udp))
        #expect(
            book.look(1, [tcp, udp], .off) == [LivenessBook.Answered(look: 1, answers: [tcp: .alive, udp: .alive])])
        #expect(book.look(2, [udp], .connect) == [LivenessBook.Answered(look: 2, answers: [udp: .alive])])
        #expect(book.look(3, [tcp, udp], .connect).isEmpty)
        #expect(book.takeNext() == [tcp])
        #expect(book.book.rememberedCount == 0)
    }

    @Test("an address has 32 questions under way at the most, all have 256, and the oldest are asked first")
    func bounds() {
        let book = Book(at: start)
        _ = book.look(1, questions(40))
        #expect(book.takeNext() == Array(questions(40).prefix(32)))
        #expect(book.takeNext().isEmpty && book.book.waitingCount == 8)
        _ = book.answer(question(5), .alive)
        #expect(book.takeNext() == [question(33)])
        for server in UInt32(2)...9 { _ = book.look(UInt64(server), questions(40, at: server)) }
        #expect(book.takeNext().count == LivenessBook.underWayMax - 32)
        #expect(book.book.underWayCount == LivenessBook.underWayMax)
    }

    @Test("servers that are down don't hold up another one's question")
    func fair() {
        let book = Book(at: start)
        for server in UInt32(1)...8 { _ = book.look(UInt64(server), questions(200, at: server)) }
        #expect(book.takeNext().count == LivenessBook.underWayMax)
        let other = question(1, at: 9)
        _ = book.look(9, [other])
        #expect(book.takeNext().isEmpty)
        _ = book.answer(question(1, at: 1), .dead)
        #expect(book.takeNext() == [other])
    }

    @Test("when too many wait, the newest of the longest line are dead at once, and not remembered")
    func full() {
        let book = Book(at: start)
        let many = questions(LivenessBook.waitingMax + 32)
        _ = book.look(1, many)
        #expect(book.book.waitingCount == LivenessBook.waitingMax)
        _ = book.takeNext()
        #expect(book.look(2, (1...32).map { question($0 + 10_000) }).isEmpty)
        #expect(book.book.waitingCount == LivenessBook.waitingMax)
        let newest = question(10_032)
        let beyond = question(20_000)
        #expect(book.look(3, [beyond]) == [LivenessBook.Answered(look: 3, answers: [beyond: .dead])])
        _ = book.look(4, [newest])
        let other = question(1, at: 2)
        #expect(book.look(5, [other]) == [LivenessBook.Answered(look: 4, answers: [newest: .dead])])
        #expect(book.takeNext() == [other])
        #expect(book.book.rememberedCount == 0)
    }

    @Test("so many answers are remembered and no more, and none that has expired")
    func memory() {
        let book = Book(at: start)
        var isEverything = true
        for id in UInt64(1)...100 {
            let some = questions(100, at: UInt32(id))
            _ = book.look(id, some)
            while case let asked = book.takeNext(), !asked.isEmpty {
                for question in asked { _ = book.answer(question, .alive) }
            }
            isEverything = isEverything && book.book.rememberedCount == min(Int(id) * 100, LivenessBook.rememberedMax)
        }
        #expect(isEverything && book.book.rememberedCount == LivenessBook.rememberedMax)
        _ = book.look(3, [], at: start + .seconds(10))
        #expect(book.book.rememberedCount == 0)
    }
}
