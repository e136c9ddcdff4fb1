import Addresses
import Glibc
import Synchronization
import System

extension HostNames {
    public typealias Answer = Result<HostAddresses, Failure>

    /// Asks for all names at once, and waits no longer than the limit. What has no answer by then is missing.
    ///
    /// getaddrinfo(3) can't be ended: a late question goes on in its thread until the process ends. So this is for
    /// commands, not for the daemon.
    public static func answers(for names: [String], within limit: Duration) -> [String: Answer] {
        answers(for: names, within: limit) { name in
            Result { () throws(Failure) in try resolve(name) }
        }
    }

    /// The same by another resolver, which may block.
    public static func answers(
        for names: [String], within limit: Duration, by resolver: @escaping @Sendable (String) -> Answer
    ) -> [String: Answer] {
        let questions: Questions
        do throws(Errno) {
            questions = try Questions(names)
        } catch {
            return Dictionary(names.map { ($0, .failure(Failure(name: $0, code: EAI_SYSTEM))) }) { first, _ in first }
        }
        for _ in 0..<min(names.count, atOnceMax) {
            // Without a thread the questions of the others are asked, or none.
            guard BlockingCall.start({ questions.ask(resolver) }) == 0 else { break }
        }
        return questions.answers(within: limit)
    }

    static let atOnceMax = 64
}

/// Names that threads ask for, and a pipe that has a byte for each answer.
private final class Questions: Sendable {
    private struct State {
        var names: ArraySlice<String>
        var answers: [String: HostNames.Answer] = [:]
    }

    private let state: Mutex<State>
    private let count: Int
    private let pipe: Pipe

    init(_ names: [String]) throws(Errno) {
        state = Mutex(State(names: names[...]))
        count = names.count
        pipe = try Pipe()
    }

    func ask(_ resolver: (String) -> HostNames.Answer) {
        while let name = state.withLock({ $0.names.popFirst() }) {
            let answer = resolver(name)
            state.withLock { $0.answers[name] = answer }
            _ = write(pipe.writeEnd, [0], 1)
        }
    }

    /// The pipe is only closed if nobody writes to it any more.
    func answers(within limit: Duration) -> [String: HostNames.Answer] {
        let deadline = ContinuousClock.now + limit
        var left = count
        while left > 0 {
            let milliseconds = (deadline - .now) / .milliseconds(1)
            guard milliseconds > 0 else { return state.withLock { $0.answers } }
            var item = pollfd(fd: pipe.readEnd, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, Int32(milliseconds.rounded(.up))) > 0 else { continue }
            var byte: UInt8 = 0
            if read(pipe.readEnd, &byte, 1) == 1 { left -= 1 }
        }
        pipe.close()
        return state.withLock { $0.answers }
    }
}
