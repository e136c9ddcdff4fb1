import Addresses
import Clock
import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Daemon

/// Answers on request, and reports its questions.
private final class FakeResolver: Sendable {
    private struct State {
        var asked: [String: Int] = [:]
        var waiting: [String: EventLoopPromise<HostAddresses>] = [:]
        /// Answers that were given before their question.
        var ready: [String: Result<HostAddresses, any Error>] = [:]
    }

    struct Unresolved: Error, CustomStringConvertible {
        var description: String
    }

    private let state = Mutex(State())
    private let question = DispatchSemaphore(value: 0)

    func resolver(on loop: any EventLoop) -> HostNameBook.Resolver {
        .init(
            addresses: { self.find($0, loop) }, lifetime: { _ in loop.makeSucceededFuture(.seconds(60)) })
    }

    var asked: [String: Int] { state.withLock { $0.asked } }
    var running: Set<String> { state.withLock { Set($0.waiting.keys) } }

    private func find(_ name: String, _ loop: any EventLoop) -> EventLoopFuture<HostAddresses> {
        let promise = loop.makePromise(of: HostAddresses.self)
        let answer = state.withLock { state in
            state.asked[name, default: 0] += 1
            let answer = state.ready.removeValue(forKey: name)
            if answer == nil { state.waiting[name] = promise }
            return answer
        }
        if let answer { promise.completeWith(answer) }
        question.signal()
        return promise.futureResult
    }

    /// - Parameter addresses: `nil` if the name can't be resolved.
    func answer(_ name: String, _ addresses: HostAddresses?) {
        let answer: Result<HostAddresses, any Error> =
            if let addresses { .success(addresses) } else { .failure(Unresolved(description: "no \(name)")) }
        let promise = state.withLock { state in
            let promise = state.waiting.removeValue(forKey: name)
            if promise == nil { state.ready[name] = answer }
            return promise
        }
        promise?.completeWith(answer)
    }

    func awaitQuestions(_ count: Int) {
        for number in 0..<count {
            #expect(question.wait(timeout: .now() + 10) == .success, "question \(number)")
        }
    }
}

/// A book on its own event loop; its names stay unanswered until the test answers.
private final class Shelf: Sendable {
    let fake = FakeResolver()
    let loop: any EventLoop
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let book: NIOLoopBound<HostNameBook>
    private let changes = Mutex([String?]())
    private let change = DispatchSemaphore(value: 0)

    init() throws {
        let (loop, fake) = (group.next(), fake)
        self.loop = loop
        let told = Told()
        book = try loop.submit {
            NIOLoopBound(
                HostNameBook(on: loop, resolver: fake.resolver(on: loop)) { told.tell?($0) }, eventLoop: loop)
        }.wait()
        try loop.submit { [self] in told.tell = { self.noteChange($0) } }.wait()
    }

    private final class Told: @unchecked Sendable { var tell: ((String?) -> Void)? }

    private func noteChange(_ failure: String?) {
        changes.withLock { $0.append(failure) }
        change.signal()
    }

    func awaitChange() -> String? {
        #expect(change.wait(timeout: .now() + 10) == .success)
        return changes.withLock { $0.removeFirst() }
    }

    var changeCount: Int { changes.withLock { $0.count } }

    func with<Value: Sendable>(_ body: @escaping @Sendable (HostNameBook) -> Value) throws -> Value {
        let book = book
        return try loop.submit { body(book.value) }.wait()
    }

    func watch(_ names: Set<String>) throws { try with { $0.watch(names) } }

    func round(_ names: Set<String>, within limit: TimeAmount) -> EventLoopFuture<Void> {
        let book = book
        return loop.flatSubmit { book.value.resolveAnew(names, within: limit) }
    }

    func close() throws {
        for name in fake.running { fake.answer(name, nil) }
        try with { $0.close() }
        try group.syncShutdownGracefully()
    }
}

@Suite("host names") struct HostNameBookTests {
    private static let dead = Set((1...12).map { "host\($0).dead.example" })
    private static let one = IPAddress.v4(0x0a01_0203)
    private static let six = IPAddress.v6(IPv6Bits(0x2001_0db8 << 96 | 1))
    private static let long = TimeAmount.seconds(60)

    @Test("are asked for side by side, and none twice while it is asked for")
    func sideBySide() throws {
        let shelf = try Shelf()
        try shelf.watch(Self.dead)
        try shelf.with { $0.timeAdvanced(to: .zero) }
        shelf.fake.awaitQuestions(Self.dead.count)
        #expect(shelf.fake.running == Self.dead)
        let round = shelf.round(Self.dead, within: Self.long)
        try shelf.with { $0.timeAdvanced(to: .zero) }
        for name in Self.dead { shelf.fake.answer(name, [Self.one]) }
        try round.wait()
        #expect(try shelf.with { $0.addresses } == Dictionary(uniqueKeysWithValues: Self.dead.map { ($0, [Self.one]) }))
        #expect(try shelf.with { $0.isComplete && $0.shortcomings(of: Self.dead).isEmpty })
        #expect(shelf.fake.asked.values.allSatisfy { $0 == 1 })
        try shelf.close()
    }

    @Test("without an answer don't keep a reload: it is told of them, and what comes later counts by itself")
    func deadline() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example", "b.example"])
        let round = shelf.round(["a.example", "b.example"], within: .milliseconds(20))
        shelf.fake.awaitQuestions(2)
        try round.wait()
        #expect(
            try shelf.with { $0.shortcomings(of: ["a.example", "b.example"]) } == [
                "not resolved yet: a.example, b.example; their rules take effect when they are"
            ])
        #expect(try !shelf.with { $0.isComplete })
        shelf.fake.answer("a.example", [Self.one])
        #expect(shelf.awaitChange() == nil)
        #expect(try shelf.with { $0.addresses } == ["a.example": [Self.one]])
        try shelf.close()
    }

    @Test("that are known are asked for anew by a reload; without an answer they keep what they had, and it says so")
    func known() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example"])
        let first = shelf.round(["a.example"], within: Self.long)
        shelf.fake.answer("a.example", [Self.one])
        try first.wait()
        #expect(shelf.awaitChange() == nil)
        let second = shelf.round(["a.example"], within: Self.long)
        shelf.fake.answer("a.example", nil)
        try second.wait()
        #expect(shelf.awaitChange() == "no a.example; its last addresses stay in use")
        #expect(try shelf.with { $0.addresses } == ["a.example": [Self.one]])
        #expect(
            try shelf.with { $0.shortcomings(of: ["a.example"]) } == [
                "not resolved again: a.example; their last addresses stay in use"
            ])
        #expect(shelf.fake.asked == ["a.example": 2])
        try shelf.close()
    }

    @Test("of which one family fails keep its last addresses, and take the other one's new ones; and it says so")
    func halves() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example"])
        let first = shelf.round(["a.example"], within: Self.long)
        shelf.fake.answer("a.example", [Self.one, Self.six])
        try first.wait()
        #expect(shelf.awaitChange() == nil)
        let second = shelf.round(["a.example"], within: Self.long)
        shelf.fake.answer("a.example", HostAddresses([.v4(0x0a01_0204)], unknown: .ipv6))
        try second.wait()
        #expect(
            shelf.awaitChange() == "can't resolve \"a.example\" for IPv6; its last IPv6 addresses stay in use")
        #expect(shelf.awaitChange() == nil)
        #expect(try shelf.with { $0.addresses } == ["a.example": [.v4(0x0a01_0204), Self.six]])
        #expect(
            try shelf.with { $0.shortcomings(of: ["a.example"]) } == [
                "not resolved again: a.example; their last addresses stay in use"
            ])
        try shelf.close()
    }

    @Test("of which one family was never known aren't whole, and are asked for again")
    func unknownFamily() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example"])
        let first = shelf.round(["a.example"], within: Self.long)
        shelf.fake.awaitQuestions(1)
        let half = HostAddresses([Self.one], unknown: .ipv6)
        shelf.fake.answer("a.example", half)
        try first.wait()
        #expect(
            shelf.awaitChange()
                == "can't resolve \"a.example\" for IPv6; until it can be, a rule that excepts it permits no client")
        #expect(shelf.awaitChange() == nil)
        #expect(try shelf.with { $0.addresses } == ["a.example": half])
        #expect(
            try shelf.with { $0.shortcomings(of: ["a.example"]) } == [
                "resolved for IPv4 or IPv6 alone: a.example; a rule that excepts them permits no client"
            ])
        try shelf.with { $0.timeAdvanced(to: HostClock.now() + HostNameBook.retryMin * 2) }
        shelf.fake.awaitQuestions(1)
        #expect(shelf.fake.asked == ["a.example": 2])
        try shelf.close()
    }

    @Test("with too many addresses are told of, once")
    func cut() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example"])
        let many = HostAddresses((0..<100).map { IPAddress.v4($0) })
        let effect = "the others aren't permitted, and a rule that excepts the name permits no client"
        for _ in 0..<2 {
            let round = shelf.round(["a.example"], within: Self.long)
            shelf.fake.answer("a.example", many)
            try round.wait()
        }
        #expect(shelf.awaitChange() == "\"a.example\" has more than 64 addresses; \(effect)")
        #expect(shelf.awaitChange() == nil)
        #expect(shelf.changeCount == 0)
        #expect(
            try shelf.with { $0.shortcomings(of: ["a.example"]) } == ["more than 64 addresses: a.example; \(effect)"])
        try shelf.close()
    }

    @Test("that hang are bounded, and leave places to those that are known to answer")
    func bounded() throws {
        let shelf = try Shelf()
        try shelf.watch(["good.example"])
        let first = shelf.round(["good.example"], within: Self.long)
        shelf.fake.awaitQuestions(1)
        shelf.fake.answer("good.example", [Self.one])
        try first.wait()
        let many = Set((1...100).map { "host\($0).dead.example" })
        try shelf.watch(many.union(["good.example"]))
        try shelf.with { $0.timeAdvanced(to: .zero) }
        shelf.fake.awaitQuestions(HostNameBook.doubtfulMax)
        #expect(shelf.fake.running.count == HostNameBook.doubtfulMax)
        let second = shelf.round(["good.example"], within: Self.long)
        shelf.fake.awaitQuestions(1)
        shelf.fake.answer("good.example", [Self.one])
        try second.wait()
        // Another name takes the place of an answered one.
        let name = try #require(shelf.fake.running.first)
        shelf.fake.answer(name, nil)
        shelf.fake.awaitQuestions(1)
        #expect(shelf.fake.running.count == HostNameBook.doubtfulMax)
        try shelf.close()
    }

    @Test("that no rule mentions any more are no longer asked for, and their answers count for nothing")
    func unwatched() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example"])
        let round = shelf.round(["a.example"], within: Self.long)
        shelf.fake.awaitQuestions(1)
        try shelf.watch([])
        shelf.fake.answer("a.example", [Self.one])
        try round.wait()
        #expect(try shelf.with { $0.addresses.isEmpty && $0.isComplete })
        try shelf.close()
    }

    @Test("a book that is closed keeps nobody waiting, and answers that come later find it closed")
    func closed() throws {
        let shelf = try Shelf()
        try shelf.watch(["a.example"])
        let round = shelf.round(["a.example"], within: Self.long)
        shelf.fake.awaitQuestions(1)
        try shelf.with { $0.close() }
        try round.wait()
        shelf.fake.answer("a.example", [Self.one])
        #expect(try shelf.with { $0.addresses.isEmpty })
        try shelf.close()
    }
}
