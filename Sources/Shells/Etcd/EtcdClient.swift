import JSON
import NIOCore

/// A client of an etcd cluster, by the JSON gateway of its members (`/v3/`, etcd 3.4 and later).
///
/// It may be used from any thread, and waited for on any but the event loop's; callbacks come on the event loop.
/// Failures are ``EtcdError``. Requests are done one after the other at one member; if that fails, the next one is
/// used, and watches at the failed one end.
public final class EtcdClient: Sendable {
    public let loop: any EventLoop
    private let connector: MemberConnector
    private let core: NIOLoopBoundBox<ClientCore>

    public init(on loop: any EventLoop, _ settings: EtcdSettings) throws(EtcdSettingsError) {
        guard !settings.endpoints.isEmpty else { throw .noEndpoints }
        guard settings.endpoints.count <= EtcdLimits.endpointsMax else {
            throw .tooManyEndpoints(settings.endpoints.count)
        }
        for endpoint in settings.endpoints where !endpoint.isSecure {
            guard settings.permitsPlainLoopback, endpoint.host == "127.0.0.1" else {
                throw .insecureEndpoint(endpoint)
            }
        }
        self.loop = loop
        connector = MemberConnector(
            loop: loop, context: try settings.tls.context(), connectTimeout: TimeAmount(settings.connectTimeout))
        core = .makeBoxSendingValue(ClientCore(connector, settings), eventLoop: loop)
    }

    private func ask<Value: Sendable>(
        _ request: Request, _ read: @escaping @Sendable (JSONValue) throws(EtcdError) -> Value
    ) -> EventLoopFuture<Value> {
        let promise = loop.makePromise(of: Value.self)
        loop.execute {
            self.core.value.queue.ask(request) { answer in
                promise.completeWith(Result { try read(try answer.get()) })
            }
        }
        return promise.futureResult
    }

    /// Reads keys in their order, by a linearizable read.
    ///
    /// - Parameters:
    ///   - limit: of records; 0: none.
    ///   - revision: the store as it was then; `nil`: as it is.
    public func range(
        _ range: EtcdRange, limit: Int = 0, revision: Int64? = nil
    ) -> EventLoopFuture<EtcdPage> {
        self.range(range, limit: limit, revision: revision, keysOnly: false)
    }

    private func range(
        _ range: EtcdRange, limit: Int, revision: Int64?, keysOnly: Bool
    ) -> EventLoopFuture<EtcdPage> {
        ask(.range(range, limit: limit, revision: revision, keysOnly: keysOnly)) { result throws(EtcdError) in
            var page = try result.page
            page.limit = limit
            return page
        }
    }

    /// The next page of a range, behind `key`; `nil`: the first one.
    ///
    /// It has fewer records than `max` if their values are too large to be read together. A value that is too large by
    /// itself is passed over: ``EtcdPage/oversized`` counts it.
    /// - Parameter max: of records, at least 1.
    public func page(
        of range: EtcdRange, after key: [UInt8]?, max: Int, revision: Int64?
    ) -> EventLoopFuture<EtcdPage> {
        page(of: key.map { range.after($0) } ?? range, limit: Swift.max(max, 1), revision: revision)
            .flatMapThrowing { page in
                // Else the same page would be asked for again and again.
                guard !page.hasMore || page.isBehind(key) else { throw EtcdError.malformed("a page goes back") }
                return page
            }
    }

    /// Whoever may write some keys could else stop each reader of the range.
    private func page(of range: EtcdRange, limit: Int, revision: Int64?) -> EventLoopFuture<EtcdPage> {
        self.range(range, limit: limit, revision: revision).flatMapError { error in
            guard error as? EtcdError == .tooLarge else { return self.loop.makeFailedFuture(error) }
            guard limit == 1 else { return self.page(of: range, limit: limit / 2, revision: revision) }
            return self.range(range, limit: 1, revision: revision, keysOnly: true).map(\.withoutValues)
        }
    }

    /// Does all operations or none.
    ///
    /// - Parameter operations: at most ``EtcdLimits/operationsMax``, and no key twice.
    public func transact(
        _ compares: [EtcdCompare] = [], _ operations: [EtcdOperation]
    ) -> EventLoopFuture<EtcdOutcome> {
        guard max(compares.count, operations.count) <= EtcdLimits.operationsMax else {
            return loop.makeFailedFuture(EtcdError.tooLarge)
        }
        return ask(.transaction(compares, operations)) { result throws(EtcdError) in try result.outcome }
    }

    /// - Parameter seconds: etcd may grant more, and lets at least 2 s pass.
    public func grantLease(seconds: Int64) -> EventLoopFuture<EtcdLease> {
        ask(.grantLease(seconds: seconds)) { result throws(EtcdError) in
            let lease = try result.lease
            guard lease.id != 0 else { throw .malformed("a lease has no ID") }
            return lease
        }
    }

    /// - Returns: the seconds that it has from now. Fails with ``EtcdError/leaseNotFound`` if it is gone.
    public func keepLease(_ id: Int64) -> EventLoopFuture<Int64> {
        ask(.keepLease(id)) { result throws(EtcdError) in
            let lease = try result.lease
            // etcd's answer for an unknown lease has no TTL.
            guard lease.seconds > 0 else { throw .leaseNotFound }
            return lease.seconds
        }
    }

    /// Deletes the lease and its keys.
    public func revokeLease(_ id: Int64) -> EventLoopFuture<Void> {
        ask(.revokeLease(id)) { (_) throws(EtcdError) in }
    }

    /// Asks the member in use for a key that only a majority can vouch for.
    ///
    /// A watch at a member that went silent ends by it: this fails, and the member is left.
    /// - Returns: the store's revision, and the key without its value.
    public func probe(_ key: [UInt8]) -> EventLoopFuture<(revision: Int64, found: EtcdKeyValue?)> {
        ask(.range(EtcdRange(key: key), limit: 1, revision: nil, keysOnly: true)) { result throws(EtcdError) in
            let page = try result.page
            return (page.revision, page.records.first)
        }
    }

    /// Watches ranges over one stream, from that revision on.
    ///
    /// - Parameter ranges: 1 to ``EtcdLimits/rangesMax``.
    /// - Parameter told: called on the event loop; ``EtcdWatchEvent/ended(_:)`` comes once and last.
    public func watch(
        _ ranges: [EtcdRange], from revision: Int64, told: @escaping @Sendable (EtcdWatchEvent) -> Void
    ) -> EtcdWatch {
        precondition((1...EtcdLimits.rangesMax).contains(ranges.count))
        let stream = NIOLoopBoundBox.makeBoxSendingValue(
            WatchStream(connector, ranges, from: revision, told: told), eventLoop: loop)
        loop.execute { self.core.value.open(stream.value) }
        return EtcdWatch(stream, loop)
    }

    /// Fails what waits, and ends the watches.
    public func close() {
        loop.execute { self.core.value.close() }
    }
}
