import Bundles
import Clock
import Etcd
import Fleet
import FleetRecords
import NIOCore

/// What the store told.
enum StoreEvent {
    case connected
    case lost(String)
    case page(StorePage)
    case watchOpened
    case changed([StoreChange])
    case readingAgain
    /// - Parameter isLast: of all ranges.
    case pageAgain([(key: FleetKey, record: FleetRecord)], isLast: Bool)
    case compacted
    case transactionEnded(UInt64, succeeded: Bool)
    case leaseGranted(FleetLease)
    case leaseLost(FleetLease)
    /// Another host writes this node's records.
    case nameShared
    case policy(PolicyAnnouncement)
    case order(id: String, [UInt8])
    case orderGone(id: String)
    case ordersReadingBegan
    /// - Parameter isWhole: there are no others.
    case ordersReadingEnded(isWhole: Bool)
}

/// Does at etcd what a node decides; each result is an event.
///
/// What was asked before a loss is not answered any more.
final class StoreDriver {
    private let client: EtcdClient
    private let loop: any EventLoop
    private let keys: StoreKeys
    private let told: (StoreEvent) -> Void
    /// Counts connections: answers of an earlier one are dropped.
    private var epoch = 0
    private var isConnected = false
    private var leases: [FleetLease: Int64] = [:]
    /// Under which this node's status was written last, as etcd has acknowledged.
    private var statusLease: Int64?
    private var watch: EtcdWatch?
    private var check = WatchCheck()
    private var nextProbe = Instant.distantFuture
    /// Of records, so that their values can be read.
    private var pageMax = FleetLimits.pageMax
    /// Records that can't be read, by another version or by nobody's.
    private(set) var unreadable = 0

    /// Of a list for people; a store may have pages without an end.
    private static let pagesMax = 1024

    static let probeInterval = Duration.seconds(10)

    init(_ client: EtcdClient, _ keys: StoreKeys, told: @escaping (StoreEvent) -> Void) {
        self.client = client
        loop = client.loop
        self.keys = keys
        self.told = told
    }

    func perform(_ action: FleetAction, at now: Instant) {
        switch action {
        case .connect: connect(at: now)
        case .grantLease(let lease, let duration): grant(lease, duration)
        case .keepLease(let lease): keep(lease)
        case .transact(let id, let operations): transact(id, operations)
        case .read(let range, let key, let revision, let max): read(range, after: key.map(keys.bytes), revision, max)
        case .watch(let revision): watch(from: revision)
        case .offerGrants, .endCopy, .offerQuarantines, .hearDaemonAnew: break
        }
    }

    func timeAdvanced(at now: Instant) {
        guard isConnected, nextProbe <= now else { return }
        nextProbe = now + Self.probeInterval
        let written = statusLease
        ask(client.probe(keys.probe)) { driver, probed in
            if let found = probed.found, let written { driver.judge(found, written: written) }
        }
        checkWatch(at: now)
    }

    /// A status that this node wrote stays until it writes it again, unless another host takes itself for this node.
    private func judge(_ status: EtcdKeyValue, written: Int64) {
        if status.lease != written, status.lease != leases[.status] { told(.nameShared) }
    }

    /// Ends what is under way; nothing is told any more.
    func abandon() {
        epoch += 1
        isConnected = false
        watch?.cancel()
        watch = nil
        check.watchEnded()
    }

    // MARK: Requests

    private func connect(at now: Instant) {
        nextProbe = now + Self.probeInterval
        ask(client.probe(keys.probe)) { driver, _ in
            driver.isConnected = true
            driver.told(.connected)
        }
    }

    private func grant(_ lease: FleetLease, _ duration: Duration) {
        ask(client.grantLease(seconds: duration.components.seconds)) { driver, granted in
            driver.leases[lease] = granted.id
            driver.told(.leaseGranted(lease))
        }
    }

    private func keep(_ lease: FleetLease) {
        guard let id = leases[lease] else { return told(.leaseLost(lease)) }
        ask(
            client.keepLease(id),
            refused: { driver, error in
                guard error == .leaseNotFound else { return false }
                driver.leases[lease] = nil
                driver.told(.leaseLost(lease))
                return true
            }, answered: { _, _ in })
    }

    private func transact(_ id: UInt64, _ operations: [StoreOperation]) {
        let requests = operations.map { operation -> EtcdOperation in
            switch operation {
            case .put(let key, let record, let lease):
                .put(key: keys.bytes(key), value: RecordText.bytes(record), lease: leases[lease] ?? 0)
            case .delete(let key): .delete(key: keys.bytes(key))
            }
        }
        let writesStatus = operations.contains { if case .put(.status, _, _) = $0 { true } else { false } }
        let lease = writesStatus ? leases[.status] : nil
        ask(
            client.transact([], requests),
            refused: { driver, error in
                driver.told(.transactionEnded(id, succeeded: false))
                guard error == .leaseNotFound else { return false }
                // It doesn't say which one.
                for lease in FleetLease.allCases where driver.leases[lease] != nil { driver.keep(lease) }
                return true
            },
            answered: { driver, outcome in
                if outcome.succeeded, let lease { driver.statusLease = lease }
                driver.told(.transactionEnded(id, succeeded: outcome.succeeded))
            })
    }

    private func read(_ range: FleetRange, after key: [UInt8]?, _ revision: Int64?, _ max: Int) {
        ask(page(of: keys.range(range), after: key, max: max, revision: revision), refused: Self.isCompacted) {
            driver, page in
            let records = driver.records(of: page)
            let revision = revision ?? page.revision
            // Of a page that can't be read at all, no record says where the next one begins.
            if records.isEmpty, page.hasMore, let last = page.lastKey {
                return driver.read(range, after: last, revision, max)
            }
            driver.told(.page(StorePage(records, revision: revision, isLast: !page.hasMore)))
        }
    }

    private func records(of page: EtcdPage) -> [(key: FleetKey, record: FleetRecord)] {
        unreadable += page.oversized
        return page.records.compactMap { record($0.key, $0.value) }
    }

    /// A page that is no larger than what could be read lately; each that is read doubles it.
    private func page(
        of range: EtcdRange, after key: [UInt8]?, max: Int, revision: Int64?
    ) -> EventLoopFuture<EtcdPage> {
        let this = NIOLoopBound(self, eventLoop: loop)
        let limit = min(max, pageMax)
        return client.page(of: range, after: key, max: limit, revision: revision).always { result in
            switch result {
            case .success(let page):
                if page.hasMore || page.limit < limit { this.value.pageMax = min(page.limit * 2, FleetLimits.pageMax) }
            case .failure(let error):
                // The member may have needed too long for so many bytes.
                if error as? EtcdError == .timedOut { this.value.pageMax = Swift.max(limit / 2, 1) }
            }
        }
    }

    private static func isCompacted(_ driver: StoreDriver, _ error: EtcdError) -> Bool {
        guard case .compacted = error else { return false }
        driver.told(.compacted)
        return true
    }

    // MARK: The watch

    private func watch(from revision: Int64) {
        watch?.cancel()
        check.watchBegan(behind: revision - 1)
        let asked = epoch
        let this = NIOLoopBound(self, eventLoop: loop)
        watch = client.watch(keys.watched, from: revision) { event in
            guard this.value.epoch == asked else { return }
            this.value.watched(event)
        }
        readPublished()
    }

    private func watched(_ event: EtcdWatchEvent) {
        switch event {
        case .opened: told(.watchOpened)
        case .changed(_, let changes, _): take(changes)
        case .ended(.compacted):
            check.watchEnded()
            told(.compacted)
        case .ended(.lost(let reason)): lost("the watch ended: \(reason)")
        case .ended(.canceled(let reason)): lost("the watch was canceled: \(reason)")
        }
    }

    private func take(_ changes: [EtcdChange]) {
        var records: [StoreChange] = []
        for change in changes {
            switch change {
            case .put(let put):
                if let (key, record) = record(put.key, put.value) { records.append(.put(key, record)) }
            case .delete(let bytes, _):
                guard let key = keys.key(bytes) else { continue }
                if case .order(let id) = key { told(.orderGone(id: id)) } else { records.append(.delete(key)) }
            }
        }
        if !records.isEmpty { told(.changed(records)) }
    }

    private func checkWatch(at now: Instant) {
        guard let revision = check.revision(at: now) else { return }
        ask(
            client.range(EtcdRange(key: keys.probe), limit: 1, revision: revision),
            refused: { driver, error in
                guard case .compacted = error else { return false }
                if driver.check.compacted(revision, at: now) { driver.readAgain() }
                return true
            }, answered: { _, _ in })
    }

    /// The node stays in step meanwhile. The watch goes on to tell what happens, until the next one tells it again.
    private func readAgain() {
        told(.readingAgain)
        readAgain(keys.ranges[...], after: nil, revision: nil)
    }

    private func readAgain(_ ranges: ArraySlice<FleetRange>, after key: [UInt8]?, revision: Int64?) {
        guard let range = ranges.first else { return }
        ask(
            page(of: keys.range(range), after: key, max: FleetLimits.pageMax, revision: revision),
            refused: { driver, error in
                guard case .compacted = error else { return false }
                driver.check.readingFailed()
                return true
            },
            answered: { driver, page in
                guard driver.check.isReading else { return }
                let next = page.hasMore ? page.lastKey : nil
                let rest = next == nil ? ranges.dropFirst() : ranges
                driver.told(.pageAgain(driver.records(of: page), isLast: rest.isEmpty))
                let revision = revision ?? page.revision
                if rest.isEmpty { driver.watch(from: revision + 1) }
                driver.readAgain(rest, after: next, revision: revision)
            })
    }

    /// The policy's announcement and the orders, which no node writes.
    private func readPublished() {
        if let policy = keys.policy {
            ask(page(of: policy, after: nil, max: 1, revision: nil)) { driver, page in _ = driver.records(of: page) }
        }
        told(.ordersReadingBegan)
        readOrders(after: nil, max: FleetOrder.countMax)
    }

    private func readOrders(after key: [UInt8]?, max: Int) {
        ask(page(of: keys.orders, after: key, max: max, revision: nil)) { driver, page in
            _ = driver.records(of: page)
            let rest = max - page.records.count - page.oversized
            guard page.hasMore, rest > 0, let last = page.lastKey else {
                return driver.told(.ordersReadingEnded(isWhole: !page.hasMore))
            }
            driver.readOrders(after: last, max: rest)
        }
    }

    /// A record of a node; what a publisher wrote is told at once.
    private func record(_ bytes: [UInt8], _ value: [UInt8]) -> (FleetKey, FleetRecord)? {
        guard let key = keys.key(bytes) else {
            unreadable += 1
            return nil
        }
        do throws(RecordText.Fault) {
            switch key {
            case .currentPolicy: told(.policy(try PolicyAnnouncement(text: value)))
            case .order(let id): told(.order(id: id, value))
            case .policyPiece: break
            case .status, .grant, .ended, .quarantine:
                guard let kind = key.recordKind else { return nil }
                return (key, try RecordText.record(value, of: kind))
            }
        } catch {
            unreadable += 1
        }
        return nil
    }

    // MARK: Answers

    private func ask<Answer: Sendable>(
        _ question: EventLoopFuture<Answer>,
        refused: @escaping (StoreDriver, EtcdError) -> Bool = { _, _ in false },
        answered: @escaping (StoreDriver, Answer) -> Void
    ) {
        let asked = epoch
        let this = NIOLoopBound((driver: self, refused: refused, answered: answered), eventLoop: loop)
        question.whenComplete { result in
            let (driver, refused, answered) = this.value
            guard driver.epoch == asked else { return }
            switch result {
            case .success(let answer): answered(driver, answer)
            case .failure(let error):
                if let error = error as? EtcdError, refused(driver, error) { return }
                driver.lost("\(error)")
            }
        }
    }

    private func lost(_ reason: String) {
        abandon()
        told(.lost(reason))
    }

    /// One record, for what is fetched; its failure doesn't end the connection.
    func record(at key: [UInt8]) -> EventLoopFuture<EtcdKeyValue?> {
        page(of: EtcdRange(key: key), after: nil, max: 1, revision: nil).map(\.records.first)
    }

    /// The records of another range, for people; a failure doesn't end the connection.
    ///
    /// - Parameters:
    ///   - max: of values; a node may write any number of other keys below its own.
    ///   - read: what is kept of a record.
    func all<Value: Sendable>(
        in range: EtcdRange, max: Int, read: @escaping @Sendable (EtcdKeyValue) -> Value?
    ) -> EventLoopFuture<[Value]> { rest(of: range, after: nil, max: max, pages: Self.pagesMax, [], read) }

    private func rest<Value: Sendable>(
        of range: EtcdRange, after key: [UInt8]?, max: Int, pages: Int, _ before: [Value],
        _ read: @escaping @Sendable (EtcdKeyValue) -> Value?
    ) -> EventLoopFuture<[Value]> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return page(of: range, after: key, max: max, revision: nil).flatMap { page in
            let values = before + page.records.compactMap(read)
            guard page.hasMore, values.count < max, pages > 1, let last = page.lastKey else {
                return this.value.loop.makeSucceededFuture(values)
            }
            return this.value.rest(of: range, after: last, max: max, pages: pages - 1, values, read)
        }
    }

    func close() {
        abandon()
        client.close()
    }
}
