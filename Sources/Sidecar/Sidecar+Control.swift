import Clock
import Control
import Fleet
import FleetRecords
import NIOCore

extension Sidecar {
    /// Answers a question of the sidecar's own commands: lines of JSON, an object each.
    public func answer(_ line: [UInt8]) -> EventLoopFuture<ControlAnswer> {
        guard let question = JSONObject(line)?.text("is").flatMap(SidecarQuestion.init(rawValue:)) else {
            return fail("the question can't be read; are command and sidecar of one version?")
        }
        switch question {
        case .status: return loop.makeSucceededFuture(.encoded(statusLine))
        case .grants: return loop.makeSucceededFuture(grants())
        case .quarantines: return loop.makeSucceededFuture(quarantines())
        case .nodes: return nodes()
        }
    }

    private func fail(_ why: String) -> EventLoopFuture<ControlAnswer> {
        var writer = JSONWriter()
        writer.text("failure", why)
        return loop.makeSucceededFuture(.encoded(writer.line))
    }

    private var statusLine: [UInt8] {
        var writer = JSONWriter()
        writer.text("fleet", settings.fleet)
        writer.text("node", node)
        writer.text("version", Self.version)
        writer.plain("daemon", hasDaemon)
        let state = state
        writer.plain("connected", state.isConnected)
        writer.text("since", "\(state.since)")
        writer.plain("synced", isSynced)
        writer.plain("queue", state.queue)
        if state.isNameShared { writer.plain("name_shared", true) }
        if let detail = state.detail { writer.text("detail", detail) }
        if let pair = work?.facts.daemon.pair { writer.text("pair", pair) }
        if let shelf = work?.shelf, let fetch = work?.fetch {
            writer.text("group", shelf.group)
            writer.plain("serial", fetch.serial)
            if let refusal = fetch.refusal { writer.text("policy_refused", refusal) }
        }
        writer.plain("orders", work?.orders.count ?? 0)
        writer.plain("unreadable", work?.driver.unreadable ?? 0)
        if let counters = work?.node.counters { writer.counters(counters) }
        return writer.line
    }

    /// In step with the store, and heard by the daemon: this node may take a service's address.
    var isSynced: Bool { hasDaemon && state.isConnected && state.isSynced }

    // MARK: Lists

    private static let rowsAtOnce = 1000

    /// The order is that of now, and each part has the rows as they are when it is made.
    private func grants() -> ControlAnswer {
        var rest = (work?.node.knownGrants ?? [])[...]
        let this = NIOLoopBound(self, eventLoop: loop)
        return parts {
            guard !rest.isEmpty else { return nil }
            let part = rest.prefix(Self.rowsAtOnce)
            rest = rest.dropFirst(Self.rowsAtOnce)
            return part.flatMap { grant in
                (this.value.work?.node.grantRows(of: grant) ?? []).flatMap(\.line)
            }
        }
    }

    private func quarantines() -> ControlAnswer {
        var rest = (work?.node.quarantineRows ?? [])[...]
        return parts {
            guard !rest.isEmpty else { return nil }
            let part = rest.prefix(Self.rowsAtOnce)
            rest = rest.dropFirst(Self.rowsAtOnce)
            return part.flatMap(\.line)
        }
    }

    /// A list ends with a line of its own, so that one that was cut is known.
    private func parts(_ next: @escaping () -> [UInt8]?) -> ControlAnswer {
        let state = NIOLoopBoundBox((next: next, isOver: false), eventLoop: loop)
        return .parts {
            if let bytes = state.value.next() { return bytes }
            guard !state.value.isOver else { return nil }
            state.value.isOver = true
            return SidecarQuestion.end
        }
    }

    private func nodes() -> EventLoopFuture<ControlAnswer> {
        guard let work, store.isConnected else {
            return fail("this node is not connected to etcd: \(store.detail ?? "it waits for its daemon")")
        }
        let this = NIOLoopBound(self, eventLoop: loop)
        return readNodes(work.driver, work.facts.keys).map {
            let rows = this.value.book.all
            return .encoded(rows.flatMap(\.line) + SidecarQuestion.end)
        }.flatMapError { this.value.fail("the nodes can't be read: \($0)") }
    }

    /// Reads which nodes there are now.
    func readNodes(_ driver: StoreDriver, _ keys: StoreKeys) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return driver.all(in: keys.statuses, max: NodeBook.nodesMax) { record -> (node: String, status: NodeStatus)? in
            guard case .status(let node)? = keys.key(record.key) else { return nil }
            do throws(RecordText.Fault) {
                guard case .status(let status) = try RecordText.record(record.value, of: .status) else { return nil }
                return (node, status)
            } catch {
                return nil
            }
        }.map { this.value.book.read($0, at: this.value.now.wall) }
    }
}

extension FleetGrantRow {
    fileprivate var line: [UInt8] {
        var writer = JSONWriter()
        writer.text("client", "\(grant.client)")
        writer.plain("program", grant.program.rawValue)
        writer.text("transport", "\(grant.transport)")
        if let server = grant.server { writer.text("server", "\(server)") }
        writer.text("node", node)
        writer.text("origin", record.origin ?? node)
        writer.text("state", isEnded ? "ended" : state.rawValue)
        writer.text("issued", "\(record.issued)")
        writer.text("used", "\(record.used)")
        writer.text("expires", "\(record.ends)")
        writer.text("rule", record.rule)
        return writer.line
    }
}

extension FleetQuarantineRow {
    fileprivate var line: [UInt8] {
        var writer = JSONWriter()
        writer.text("client", "\(client)")
        writer.text("node", node)
        writer.text("from", "\(record.from)")
        writer.text("until", "\(record.until)")
        writer.text("evidence", record.evidence.rawValue)
        writer.plain("denials", record.denials)
        writer.plain("in_force", isInForce)
        return writer.line
    }
}

extension NodeBook.Entry {
    fileprivate var line: [UInt8] {
        var writer = JSONWriter()
        writer.text("node", node)
        writer.plain("silent", isSilent)
        writer.text("seen", "\(seen)")
        writer.text("version", status.version)
        writer.text("mode", status.mode)
        writer.plain("serial", status.serial)
        writer.plain("grants", status.grants)
        writer.plain("denials_1h", status.denialsPerHour)
        writer.text("since", "\(status.since)")
        return writer.line
    }
}

extension JSONWriter {
    fileprivate mutating func counters(_ counters: FleetCounters) {
        plain("refreshes_dropped", counters.refreshesDropped)
        plain("changes_dropped", counters.changesDropped)
        plain("ends_dropped", counters.endsDropped)
        plain("clamped_times", counters.clampedTimes)
        plain("grants_refused", counters.grantsRefused)
        plain("quarantines_refused", counters.quarantinesRefused)
        plain("full_reads", counters.fullReads)
    }
}
