import Addresses
import Calls
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper

/// Asks the portmappers of clients that servers call back. The one who asks bounds the questions under way, and asks
/// no equal question meanwhile.
///
/// It and its closures belong to one event loop.
public final class ClientPortmappers {
    private let loop: any EventLoop
    private let port: UInt16
    private let answered: (ClientQuestion, Result<UInt16, RpcbindFailure>) -> Void
    private var attempts: [ClientQuestion: CallAttempt<Result<UInt16, RpcbindFailure>>] = [:]
    private var isClosed = false

    /// A server waits longer than this before it asks again.
    public static let timeout: Duration = .seconds(1)

    /// - Parameter answered: gets the port, 0 if the service isn't registered; it may be called before
    ///   ``ask(_:timeout:)`` returns.
    public init(
        on loop: any EventLoop, port: UInt16 = 111,
        answered: @escaping (ClientQuestion, Result<UInt16, RpcbindFailure>) -> Void
    ) {
        self.loop = loop
        self.port = port
        self.answered = answered
    }

    /// Asks from an address of this host that the kernel chooses.
    public func ask(_ question: ClientQuestion, timeout: Duration = ClientPortmappers.timeout) {
        loop.preconditionInEventLoop()
        guard !isClosed, attempts[question] == nil else { return }
        // Chosen at random, so that other hosts can't guess it.
        let xid = UInt32.random(in: .min ... .max)
        let call = question.call
        let attempt = CallAttempt(
            .init(
                address: question.client, port: port, transport: question.transport, source: nil, timeout: timeout),
            calling: call.encoded(xid: xid), on: loop
        ) {
            Self.answer(in: $0, to: call, xid: xid)
        } ended: { [weak self] outcome in
            self?.ended(question, outcome.answer)
        }
        attempts[question] = attempt
        attempt.begin()
    }

    /// Ends all questions, without an answer.
    public func close() {
        isClosed = true
        let ended = attempts.values
        attempts = [:]
        for attempt in ended { attempt.cancel() }
    }

    private func ended(_ question: ClientQuestion, _ answer: Result<UInt16, RpcbindFailure>) {
        attempts[question] = nil
        if !isClosed { answered(question, answer) }
    }

    /// `nil`: the message is no reply to the call.
    static func answer(
        in message: UnsafeRawBufferPointer, to call: PortmapperCall, xid: UInt32
    ) -> Result<UInt16, RpcbindFailure>? {
        do {
            let reply = try Reply(decoding: message)
            guard reply.xid == xid else { return nil }
            guard case .success(let results) = reply.body else { return .failure(.refused("\(reply.body)")) }
            let result = try results.withUnsafeBytes { bytes throws(XDRError) in
                try PortmapperResult(decoding: bytes, of: call)
            }
            return port(in: result).map(Result.success) ?? .failure(.refused("\(result) is no port"))
        } catch {
            return nil
        }
    }

    /// The host in an address is the client, whatever the client tells: the server asked that one.
    private static func port(in result: PortmapperResult) -> UInt16? {
        switch result {
        case .port(let port): UInt16(exactly: port)
        case .address(let text): text.isEmpty ? 0 : UniversalAddress(text)?.port
        case .void, .boolean, .mappings, .registrations, .addressList: nil
        }
    }
}

extension CallAttempt<Result<UInt16, RpcbindFailure>>.Outcome {
    fileprivate var answer: Result<UInt16, RpcbindFailure> {
        switch self {
        case .answered(let answer): answer
        case .timedOut: .failure(.timedOut)
        case .failed(let error): .failure(.unreachable("\(error)"))
        case .garbled: .failure(.refused("its bytes are no reply"))
        case .connected, .unanswered: .failure(.refused("it ended the connection"))
        }
    }
}
