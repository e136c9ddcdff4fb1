import JSON
import NIOCore

/// The requests of a client: one at a time, over one connection to one member. Belongs to one event loop.
///
/// ```
/// idle ──asked──▶ connecting ──▶ connected ──broken──▶ idle
///  ▲                  │ failed: the next member; once all failed in turn, every request fails
///  └──────────────────┘
/// ```
/// A request that was sent when the connection broke fails: whether it was done isn't known.
final class RequestQueue {
    typealias Answer = Result<JSONValue, EtcdError>

    final class Pending {
        let request: Request
        /// `nil` for the queue's own, which asks for a token.
        let answered: ((Answer) -> Void)?
        var deadline: Scheduled<Void>?
        var hasNewToken = false

        init(_ request: Request, _ answered: ((Answer) -> Void)?) {
            self.request = request
            self.answered = answered
        }
    }

    private enum State {
        case idle
        case connecting
        case connected(any Channel)
        case closed
    }

    private let connector: MemberConnector
    private let credentials: EtcdCredentials?
    private let timeout: TimeAmount
    private var ring: EndpointRing
    private var state = State.idle
    private var waiting = CircularBuffer<Pending>()
    private var current: Pending?
    private(set) var token: String?
    /// A member failed, and is left: what else runs there ends.
    var left: (EtcdEndpoint, _ reason: String) -> Void = { _, _ in }

    init(_ connector: MemberConnector, _ settings: EtcdSettings) {
        self.connector = connector
        credentials = settings.credentials
        timeout = TimeAmount(settings.requestTimeout)
        ring = EndpointRing(settings.endpoints)
    }

    var endpoint: EtcdEndpoint { ring.current }

    func ask(_ request: Request, _ answered: @escaping (Answer) -> Void) {
        if case .closed = state { return answered(.failure(Self.isClosed)) }
        guard request.body.count <= EtcdLimits.requestBytesMax else { return answered(.failure(.tooLarge)) }
        guard waiting.count < EtcdLimits.waitingMax else { return answered(.failure(.busy)) }
        let pending = Pending(request, answered)
        limit(pending)
        waiting.append(pending)
        pump()
    }

    static let isClosed = EtcdError.lost("the client is closed")

    func close() {
        let channel = connectedChannel
        state = .closed
        channel?.close(promise: nil)
        failAll(Self.isClosed)
    }

    private var connectedChannel: (any Channel)? {
        guard case .connected(let channel) = state else { return nil }
        return channel
    }

    private func limit(_ pending: Pending) {
        let this = NIOLoopBound((self, pending), eventLoop: connector.loop)
        pending.deadline = connector.loop.scheduleTask(in: timeout) { this.value.0.deadlinePassed(this.value.1) }
    }

    private func deadlinePassed(_ pending: Pending) {
        if pending === current { return leave("no answer within the time", failing: .timedOut) }
        guard let index = waiting.firstIndex(where: { $0 === pending }) else { return }
        waiting.remove(at: index)
        pending.answered?(.failure(.timedOut))
    }

    private func pump() {
        guard current == nil, !waiting.isEmpty else { return }
        switch state {
        case .idle: connect()
        case .connecting, .closed: break
        case .connected(let channel): sendNext(over: channel)
        }
    }

    private func sendNext(over channel: any Channel) {
        let pending: Pending
        if let credentials, token == nil {
            pending = Pending(.authenticate(credentials), nil)
            limit(pending)
        } else {
            pending = waiting.removeFirst()
        }
        current = pending
        channel.send(pending.request, to: ring.current, token: pending.answered == nil ? nil : token)
    }

    private func connect() {
        state = .connecting
        let this = NIOLoopBound(self, eventLoop: connector.loop)
        connector.connect(to: ring.current) {
            ResponseHandler { channel, event in this.value.received(event, from: channel) }
        }.whenComplete { result in
            switch result {
            case .success(let channel): this.value.connected(channel)
            case .failure(let error): this.value.connectFailed(connectionFailure(error))
            }
        }
    }

    private func connected(_ channel: any Channel) {
        guard case .connecting = state else { return channel.close(promise: nil) }
        guard channel.isActive else { return connectFailed("\(ring.current): the connection was closed at once") }
        state = .connected(channel)
        pump()
    }

    private func connectFailed(_ reason: String) {
        guard case .connecting = state else { return }
        leave(reason, failing: .lost(reason))
    }

    private func received(_ event: ResponseHandler.Event, from channel: any Channel) {
        guard let connected = connectedChannel, connected === channel else { return }
        switch event {
        case .answered(let response, let isKeptAlive):
            if !isKeptAlive { disconnect() }
            answered(response)
        case .overlong: finish(.failure(.tooLarge), thenDisconnecting: true)
        case .broke(let reason):
            // An idle connection may end: the next request opens another.
            guard current != nil else { return disconnect() }
            leave("\(ring.current): \(reason)", failing: .lost("\(ring.current): \(reason)"))
        }
    }

    private func disconnect() {
        let channel = connectedChannel
        state = .idle
        channel?.close(promise: nil)
    }

    private func answered(_ response: Response) {
        do {
            let result = try response.result()
            ring.answered()
            finish(.success(result))
        } catch {
            switch error {
            case .lost(let reason): leave("\(ring.current): \(reason)", failing: .lost("\(ring.current): \(reason)"))
            // A proxy, maybe, or anything else than etcd: another member may be one.
            case .malformed: leave("\(ring.current): \(error)", failing: error)
            case .refused where !response.isDocument: leave("\(ring.current): \(error)", failing: error)
            case .timedOut, .refused, .compacted, .leaseNotFound, .tooLarge, .busy:
                ring.answered()
                finish(.failure(error))
            }
        }
    }

    private func finish(_ answer: Answer, thenDisconnecting: Bool = false) {
        guard let pending = current else { return }
        current = nil
        if thenDisconnecting { disconnect() }
        if pending.answered == nil {
            authenticated(pending, answer)
        } else if case .failure(let error) = answer, error.isAboutToken, credentials != nil, !pending.hasNewToken {
            token = nil
            pending.hasNewToken = true
            waiting.prepend(pending)
        } else {
            pending.deadline?.cancel()
            pending.answered?(answer)
        }
        pump()
    }

    private func authenticated(_ pending: Pending, _ answer: Answer) {
        pending.deadline?.cancel()
        switch answer {
        case .success(let result):
            token = Self.token(in: result)
            if token == nil { failAll(.malformed("no token was given")) }
        case .failure(let error): failAll(error)
        }
    }

    /// It goes into a header field as it is.
    private static func token(in result: JSONValue) -> String? {
        guard let text = result["token"]?.text, !text.isEmpty, text.utf8.count <= EtcdLimits.tokenBytesMax,
            text.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { return nil }
        return text
    }

    /// Goes on with the next member.
    private func leave(_ reason: String, failing error: EtcdError) {
        let member = ring.current
        disconnect()
        token = nil
        let pending = current
        current = nil
        pending?.deadline?.cancel()
        let haveAllFailed = ring.failed()
        left(member, reason)
        pending?.answered?(.failure(error))
        if haveAllFailed { failAll(.lost(reason)) }
        pump()
    }

    private func failAll(_ error: EtcdError) {
        let failed = (current.map { [$0] } ?? []) + waiting
        current = nil
        waiting.removeAll()
        for pending in failed {
            pending.deadline?.cancel()
            pending.answered?(.failure(error))
        }
    }
}
