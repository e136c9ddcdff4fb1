import Addresses
import Calls
import Clock
import Configuration
import Glibc
import NIOCore
import ONCRPC
import Probes

/// Asks servers' ports whether the program that is registered there answers.
///
/// It and its closures belong to one event loop.
public final class Liveness {
    private let loop: any EventLoop
    private let clock: () -> Instant
    private var book = LivenessBook()
    private var waiting: [LivenessBook.LookID: ([LivenessQuestion: LivenessAnswer]) -> Void] = [:]
    private var attempts: [LivenessBook.Key: CallAttempt<LivenessAnswer>] = [:]
    private var lastID: LivenessBook.LookID = 0
    private var isStarting = false
    private var isClosed = false

    public init(on loop: any EventLoop, clock: @escaping () -> Instant) {
        self.loop = loop
        self.clock = clock
    }

    /// Answers once each question is answered. That may be before this returns.
    ///
    /// - Parameters:
    ///   - timeout: how long a service may take for its answer.
    ///   - source: the address of this host that asks; `nil`: the kernel chooses. It has no effect on questions about
    ///     addresses of the other family.
    public func look(
        _ questions: [LivenessQuestion], how: Settings.Server.Liveness, timeout: Duration, source: IPAddress?,
        then: @escaping ([LivenessQuestion: LivenessAnswer]) -> Void
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
                let attempt = CallAttempt(probe, on: loop) { [weak self] answer, isOfServer in
                    self?.answered(probe.key, answer, isOfServer)
                }
                attempts[probe.key] = attempt
                attempt.begin()
            }
        }
    }

    private func answered(_ key: LivenessBook.Key, _ answer: LivenessAnswer, _ isOfServer: Bool) {
        attempts[key] = nil
        tell(book.answered(key, answer, isRemembered: isOfServer, at: clock()))
        start()
    }
}

extension CallAttempt<LivenessAnswer> {
    /// - Parameter ended: gets the answer, and whether it tells anything of the server: a call that didn't leave this
    ///   host doesn't.
    fileprivate convenience init(
        _ probe: LivenessBook.Probe, on loop: any EventLoop,
        ended: @escaping (_ answer: LivenessAnswer, _ isOfServer: Bool) -> Void
    ) {
        let question = probe.key.question
        // Chosen at random, so that other hosts can't guess it.
        let xid = UInt32.random(in: .min ... .max)
        let place = Place(
            address: question.address, port: question.service.port, transport: question.service.transport,
            source: probe.source, timeout: probe.timeout)
        self.init(place, calling: probe.message(xid: xid), on: loop) { message in
            ReplyStatus(of: message, to: xid).answer
        } ended: { outcome in
            switch outcome {
            case .connected: ended(.alive, true)
            case .answered(let answer): ended(answer, true)
            case .failed(let error as IOError) where error.errnoCode == ECONNREFUSED: ended(.refused, true)
            case .failed(let error as IOError): ended(.dead, error.isOfOtherHost)
            case .timedOut, .failed, .unanswered, .garbled: ended(.dead, true)
            }
        }
    }
}

extension LivenessBook.Probe {
    /// `nil`: a connection suffices.
    fileprivate func message(xid: UInt32) -> [UInt8]? {
        switch key.how {
        case .connect, .off: nil
        case .call: nullCall(xid: xid, key.question.program, version: key.question.version)
        }
    }
}

/// A call of procedure 0 (RFC 5531, 12.1).
func nullCall(xid: UInt32, _ program: Program, version: UInt32) -> [UInt8] {
    var encoder = XDREncoder()
    CallHeader(xid: xid, program: program.rawValue, version: version, procedure: 0).encode(into: &encoder)
    return encoder.bytes
}

extension ReplyStatus {
    /// Whether the program that was called answers; `nil`: the message is no reply to the call.
    fileprivate var answer: LivenessAnswer? {
        switch self {
        // A refusal of our credential: the program is there, and doesn't serve this host.
        case .success, .mismatch, .denied: .alive
        case .unsuccessful, .broken: .dead
        case .foreign: nil
        }
    }
}
