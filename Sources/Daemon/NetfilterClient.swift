import Addresses
import Clock
import Firewall
import ONCRPC
import Privilege
import Sandbox

/// The network-facing process's end of the channel to the netfilter process: sends a request, and waits for the reply.
///
/// It waits on purpose: a client gets a port only after the kernel has acknowledged the grant, and the kernel
/// takes microseconds.
final class NetfilterClient {
    /// A request to the netfilter process that failed.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private let channel: Channel
    let features: KernelFeatures
    /// Why the netfilter process can't be asked any more. Without it the daemon must stop.
    private(set) var loss: String?
    private(set) var isClosed = false
    private let clock: () -> Instant
    /// When ``begin(_:)`` sent the transaction whose reply is outstanding.
    private var awaitedSince: Instant?
    private var outcome: Outcome?

    /// The result of a commit that was begun.
    struct Outcome {
        /// `nil` if the kernel has done the whole transaction.
        var failure: CommitFailure?
    }
    /// Called once, when the netfilter process is lost.
    var lost: () -> Void = {}

    /// Waits until the netfilter process is ready.
    init(_ channel: Channel, clock: @escaping () -> Instant = HostClock.now) throws {
        self.channel = channel
        self.clock = clock
        let first: NetfilterReply
        do {
            first = try Self.reply(from: channel)
        } catch {
            throw Failure(description: "the netfilter process did not start: \(error)")
        }
        switch first {
        case .ready(let features): self.features = features
        case .failed(let why): throw Failure(description: why)
        case let reply: throw Failure(description: "the netfilter process sent \(reply) instead of ready")
        }
    }

    /// - Returns: `nil` if the kernel has done the whole transaction.
    func commit(_ transaction: Transaction) -> CommitFailure? {
        switch ask(.commit(transaction)) {
        case .committed(let failure): failure
        case let reply: failure(reply)
        }
    }

    private func failure(_ reply: NetfilterReply) -> CommitFailure {
        let why: Failure = failure(reply)
        return CommitFailure(errno: Self.brokenPipe, message: why.description)
    }

    /// Starts a transaction that takes long; ``takeOutcome()`` returns its outcome. Other requests wait until then.
    func begin(_ transaction: Transaction) {
        guard loss == nil, !isClosed else {
            outcome = Outcome(failure: commit(transaction))
            return
        }
        do {
            try channel.send(NetfilterCall.commit(transaction).encoded)
            awaitedSince = clock()
        } catch {
            outcome = Outcome(failure: failure(lose(error)))
        }
    }

    /// `nil`: the transaction has not ended. A netfilter process that doesn't answer in time is lost.
    func takeOutcome() -> Outcome? {
        if let awaitedSince {
            if channel.isReadable {
                awaitOutcome()
            } else if let waitMax = channel.waitMax, clock() - awaitedSince > waitMax {
                self.awaitedSince = nil
                outcome = Outcome(failure: failure(lose(Channel.Failure.silent(waitMax))))
            }
        }
        defer { outcome = nil }
        return outcome
    }

    private func awaitOutcome() {
        awaitedSince = nil
        do {
            let reply = try Self.reply(from: channel)
            guard case .committed(let failure) = reply else {
                outcome = Outcome(failure: self.failure(reply))
                return
            }
            outcome = Outcome(failure: failure)
        } catch {
            outcome = Outcome(failure: failure(lose(error)))
        }
    }

    /// - Returns: `nil` if there is no table.
    func contents() throws(Failure) -> TableContents? {
        let reply = ask(.contents)
        guard case .contents(let contents) = reply else { throw failure(reply) }
        return contents
    }

    /// The guarded ports; `nil` if there is no table.
    func guarded() throws(Failure) -> Set<ServicePort>? {
        let reply = ask(.guarded)
        guard case .guarded(let services) = reply else { throw failure(reply) }
        return services
    }

    func lifetimes(of keys: [GrantKey]) throws(Failure) -> [GrantKey: Duration] {
        let reply = ask(.lifetimes(keys))
        guard case .lifetimes(let lifetimes) = reply else { throw failure(reply) }
        return lifetimes
    }

    func uses(of keys: [GrantKey]) throws(Failure) -> [GrantKey: GrantUse] {
        let reply = ask(.uses(keys))
        guard case .uses(let uses) = reply else { throw failure(reply) }
        return uses
    }

    /// - Throws: the last failure; the other flows are cut.
    func cut(_ clients: [ServicePort: Set<AddressRange>]) throws(Failure) {
        var last: Failure?
        for call in NetfilterCall.cuts(clients) {
            let reply = ask(call)
            if case .cut = reply { continue }
            last = failure(reply)
        }
        if let last { throw last }
    }

    /// The kernel's announcements, and the result of a reading of the files; `nil`: there was no reply.
    func readEvents() -> NetfilterEvents? {
        guard case .events(let events) = ask(.events) else { return nil }
        return events
    }

    func drops() throws(Failure) -> DropCounts {
        let reply = ask(.drops)
        guard case .drops(let counts) = reply else { throw failure(reply) }
        return counts
    }

    /// Starts a reading of configuration and policy; ``readEvents()`` reports its end.
    func reload() throws(Failure) {
        let reply = ask(.reload)
        guard case .reloading = reply else { throw failure(reply) }
    }

    /// Puts the configuration and policy that the netfilter process read last into force there.
    func enforce() throws(Failure) {
        let reply = ask(.enforce)
        guard case .enforced = reply else { throw failure(reply) }
    }

    /// Ends the netfilter process; no more requests are sent.
    func close() {
        isClosed = true
        channel.close()
    }

    /// Linux's EPIPE.
    private static let brokenPipe: Int32 = 32

    private func failure(_ reply: NetfilterReply) -> Failure {
        guard case .failed(let why) = reply else {
            return Failure(description: "the netfilter process sent an unexpected reply: \(reply)")
        }
        return Failure(description: why)
    }

    private func ask(_ call: NetfilterCall) -> NetfilterReply {
        if let loss { return .failed(loss) }
        guard !isClosed else { return .failed("the daemon is stopping") }
        if awaitedSince != nil { awaitOutcome() }
        do {
            try channel.send(call.encoded)
            return try Self.reply(from: channel)
        } catch {
            return lose(error)
        }
    }

    private func lose(_ error: any Error) -> NetfilterReply {
        let loss = loss ?? "the channel to the netfilter process failed: \(error)"
        guard self.loss == nil else { return .failed(loss) }
        self.loss = loss
        lost()
        return .failed(loss)
    }

    private static func reply(from channel: Channel) throws -> NetfilterReply {
        try channel.receive().withUnsafeBytes { bytes throws(XDRError) in try NetfilterReply(decoding: bytes) }
    }
}
