import Addresses
import Calls
import Clock
import Configuration
import NIOCore
import ONCRPC

/// Asks servers' ports whether the program that is registered there answers.
///
/// It and its closures belong to one event loop.
public final class Liveness {
    private let loop: any EventLoop
    private let clock: () -> Instant
    private var book = LivenessBook()
    private var waiting: [LivenessBook.LookID: ([LivenessQuestion: Bool]) -> Void] = [:]
    private var attempts: [LivenessBook.Key: CallAttempt<Bool>] = [:]
    private var lastID: LivenessBook.LookID = 0
    private var isStarting = false
    private var isClosed = false

    public init(on loop: any EventLoop, clock: @escaping () -> Instant) {
        self.loop = loop
        self.clock = clock
    }

    /// Answers once each question is answered: `true` alive, `false` dead. That may be before this returns.
    ///
    /// - Parameters:
    ///   - timeout: how long a service may take for its answer.
    ///   - source: the address of this host that asks; `nil`: the kernel chooses. It has no effect on questions about
    ///     addresses of the other family.
    public func look(
        _ questions: [LivenessQuestion], how: Settings.Server.Liveness, timeout: Duration, source: IPAddress?,
        then: @escaping ([LivenessQuestion: Bool]) -> Void
    ) {
        loop.preconditionInEventLoop()
        guard !isClosed else { return }
        lastID += 1
        waiting[lastID] = then
        tell(book.look(lastID, questions, how: how, timeout: timeout, source: source, at: clock()))
        start()
    }

    /// Ends all questions; those who wait get no answer.
    public func close() {
        isClosed = true
        waiting = [:]
        let ended = attempts.values
        attempts = [:]
        for attempt in ended { attempt.cancel() }
    }

    private func tell(_ answered: [LivenessBook.Answered]) {
        for look in answered { waiting.removeValue(forKey: look.look)?(look.answers) }
    }

    /// Asks what may be asked now. Questions may be answered at once: then this goes on with the next ones, instead of
    /// calling itself once for each.
    private func start() {
        guard !isStarting else { return }
        isStarting = true
        defer { isStarting = false }
        while !isClosed {
            let probes = book.takeNext()
            if probes.isEmpty { return }
            for probe in probes where !isClosed {
                let attempt = CallAttempt(probe, on: loop) { [weak self] in
                    self?.answered(probe.key, isAlive: $0)
                }
                attempts[probe.key] = attempt
                attempt.begin()
            }
        }
    }

    private func answered(_ key: LivenessBook.Key, isAlive: Bool) {
        attempts[key] = nil
        tell(book.answered(key, isAlive: isAlive, at: clock()))
        start()
    }
}

extension CallAttempt<Bool> {
    fileprivate convenience init(
        _ probe: LivenessBook.Probe, on loop: any EventLoop, ended: @escaping (_ isAlive: Bool) -> Void
    ) {
        let question = probe.key.question
        // Chosen at random, so that other hosts can't guess it.
        let xid = UInt32.random(in: .min ... .max)
        let place = Place(
            address: question.address, port: question.service.port, transport: question.service.transport,
            source: probe.source, timeout: probe.timeout)
        self.init(place, calling: probe.message(xid: xid), on: loop) { message in
            switch ReplyVerdict(of: message, to: xid) {
            case .alive: true
            case .dead: false
            case .foreign: nil
            }
        } ended: { outcome in
            switch outcome {
            case .connected: ended(true)
            case .answered(let isAlive): ended(isAlive)
            case .timedOut, .failed, .unanswered: ended(false)
            }
        }
    }
}

extension LivenessBook.Probe {
    /// `nil`: a connection suffices.
    fileprivate func message(xid: UInt32) -> [UInt8]? {
        switch key.how {
        case .connect, .off: return nil
        case .call: break
        }
        let question = key.question
        var encoder = XDREncoder()
        CallHeader(xid: xid, program: question.program.rawValue, version: question.version, procedure: 0)
            .encode(into: &encoder)  // RFC 5531, 12.1
        return encoder.bytes
    }
}
