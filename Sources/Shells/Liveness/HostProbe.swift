import Addresses
import Configuration
import Glibc
import NIOCore
import NIOPosix
import Portmapper
import Probes
import System

/// Asks a host about services, as a client would: several at a time, each of them until its finding is known.
///
/// It and its closure belong to one event loop.
public final class HostProbe {
    /// The portmapper that is asked.
    public struct Host: Hashable, Sendable {
        public var address: IPAddress
        /// The index of the interface of a link-local address; 0: none.
        public var zone: UInt32
        public var port: UInt16
        /// The address of this host that asks; `nil`: the kernel chooses.
        public var source: IPAddress?

        public init(_ address: IPAddress, zone: UInt32 = 0, port: UInt16 = 111, source: IPAddress? = nil) {
            (self.address, self.zone, self.port, self.source) = (address, zone, port, source)
        }
    }

    public struct Answer: Hashable, Sendable {
        public var subject: ProbeSubject
        public var finding: ServiceProbe.Finding
        public var time: Duration
    }

    /// This host can't ask, for the reason given. It tells nothing of the other host.
    public struct Failure: Error, Hashable, Sendable {
        public var reason: String
    }

    /// As many as a portmapper may be expected to serve one client at a time; rpcwarden closes the seventeenth
    /// connection.
    public static let atOnceMax = 8

    private let loop: any EventLoop
    private let host: Host
    private let timeout: Duration
    private let subjects: [ProbeSubject]
    private let ended: (Result<[Answer], Failure>) -> Void
    private var next = 0
    private var answers: [Int: Answer] = [:]
    private var attempts: [Int: CallAttempt<ReplyStatus>] = [:]
    private var isOver = false

    /// - Parameters:
    ///   - timeout: for each call. Two are made one after the other, or three over IPv6.
    ///   - ended: gets the answers in the order of the subjects.
    public init(
        on loop: any EventLoop, _ host: Host, _ subjects: [ProbeSubject], timeout: Duration,
        ended: @escaping (Result<[Answer], Failure>) -> Void
    ) {
        self.loop = loop
        self.host = host
        self.subjects = subjects
        self.timeout = timeout
        self.ended = ended
    }

    /// Asks, and waits for the answers.
    public static func run(_ host: Host, _ subjects: [ProbeSubject], timeout: Duration) throws -> [Answer] {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let answered = loop.makePromise(of: [Answer].self)
        loop.execute {
            var probe: HostProbe?
            probe = HostProbe(on: loop, host, subjects, timeout: timeout) {
                answered.completeWith($0.mapError { $0 as any Error })
                probe = nil
            }
            probe?.begin()
        }
        let answers = Result { try answered.futureResult.wait() }
        try group.syncShutdownGracefully()
        return try answers.get()
    }

    public func begin() {
        loop.preconditionInEventLoop()
        if subjects.isEmpty { end(.success([])) }
        while attempts.count < Self.atOnceMax, !isOver, beginNext() {}
    }

    private func beginNext() -> Bool {
        guard next < subjects.count else { return false }
        let (index, subject) = (next, subjects[next])
        next += 1
        let probe = ServiceProbe(subject, at: host.address)
        take(probe.first, of: index, probe, since: .now)
        return true
    }

    private func take(
        _ step: ServiceProbe.Step, of index: Int, _ probe: ServiceProbe, since start: ContinuousClock.Instant
    ) {
        let subject = subjects[index]
        // Chosen at random, so that other hosts can't guess it.
        let xid = UInt32.random(in: .min ... .max)
        switch step {
        case .found(let finding):
            answers[index] = Answer(subject: subject, finding: finding, time: .now - start)
            goOn(after: index)
        case .ask(let call): self.call(host.port, call.encoded(xid: xid), xid, of: index, probe, since: start)
        case .call(let port):
            let message = nullCall(xid: xid, subject.program, version: subject.version)
            call(port, message, xid, of: index, probe, since: start)
        }
    }

    private func call(
        _ port: UInt16, _ message: [UInt8], _ xid: UInt32, of index: Int, _ probe: ServiceProbe,
        since start: ContinuousClock.Instant
    ) {
        let transport = subjects[index].transport
        let attempt = CallAttempt<ReplyStatus>(
            .init(
                address: host.address, zone: host.zone, port: port, transport: transport, source: host.source,
                timeout: timeout),
            calling: message, on: loop
        ) { bytes in
            let status = ReplyStatus(of: bytes, to: xid)
            return status == .foreign ? nil : status
        } ended: { [weak self] outcome in
            guard let self, !self.isOver else { return }
            do throws(Failure) {
                var probe = probe
                let step = probe.ended(try outcome.end)
                self.take(step, of: index, probe, since: start)
            } catch {
                self.end(.failure(error))
            }
        }
        attempts[index] = attempt
        attempt.begin()
    }

    private func goOn(after index: Int) {
        attempts[index] = nil
        if answers.count == subjects.count {
            end(.success(subjects.indices.compactMap { answers[$0] }))
        } else {
            _ = beginNext()
        }
    }

    private func end(_ result: Result<[Answer], Failure>) {
        guard !isOver else { return }
        isOver = true
        for attempt in attempts.values { attempt.cancel() }
        attempts = [:]
        ended(result)
    }
}

extension CallAttempt<ReplyStatus>.Outcome {
    /// - Throws: if the call didn't leave this host.
    fileprivate var end: ServiceProbe.End {
        get throws(HostProbe.Failure) {
            switch self {
            case .answered(let status): return .reply(status)
            case .garbled: return .reply(.broken)
            case .timedOut: return .silence
            case .unanswered, .connected: return .closed
            case .failed(let error as IOError):
                let words = Errno(error.errnoCode).description
                switch error.errnoCode {
                case ECONNRESET, EPIPE: return .closed
                case _ where error.isOfOtherHost: return .refused(words)
                case _: throw HostProbe.Failure(reason: words)
                }
            case .failed(let error as ChannelError):
                switch error {
                case .connectTimeout: return .silence
                case .ioOnClosedChannel, .eof: return .closed
                case .writeHostUnreachable: return .refused(Errno(EHOSTUNREACH).description)
                case _: throw HostProbe.Failure(reason: "\(error)")
                }
            case .failed(let error): throw HostProbe.Failure(reason: "\(error)")
            }
        }
    }
}
