import Addresses
import Bundles
import Configuration
import Firewall
import Glibc
import Netfilter
import ONCRPC
import PolicyFile
import Privilege
import Sandbox

/// The only process that may change the firewall: performs the requests of the network-facing process, within the
/// ``Ceiling``.
///
/// It has only netlink sockets, no capability but CAP_NET_ADMIN, and never handles a byte from a stranger. One
/// thread serves; another reads files, so that requests don't wait for it.
final class NetfilterProcess {
    private let channel: Channel
    private var settings: Settings { didSet { shape = settings.tableShape } }
    /// Kept, because a gateway's shape takes time to make.
    private var shape: TableShape
    private let table: NetfilterTable
    private let flows: Flows
    private let monitor: TableMonitor
    private let dropLog: DropLog?
    private let routing: RoutingKeeper
    private let features: KernelFeatures
    private var ceiling: Ceiling
    private let reader: FileReader
    /// The result of the last reading of the files, until it is put into force.
    private var fresh: FileReader.Fresh?
    /// No older bundle of the fleet may follow this one, whatever the other process says.
    private var lastBundle: AcceptedBundle?
    /// Whether the elements that an earlier run left have been read.
    private var hasInherited = false
    /// Guarded ports of the table that was found; a table that is taken over guarded them all the time.
    private var guarded: Set<ServicePort> = []

    /// Time limit for any one request: replacing a table with a million grants takes the kernel some seconds.
    private static let replyWaitMax: Duration = .seconds(60)

    /// After a message of this size the heap is trimmed.
    private static let largeMessageBytes = 1 << 20

    /// Forks the netfilter process off, before this process has any other thread.
    ///
    /// - Parameter user: the user that it becomes; `nil`: it runs as the right user already. The network-facing
    ///   process becomes the same user: so the kernel may end this process with that one, and this process can
    ///   read no more files than under the unit.
    static func start(
        _ load: LoadResult, configuration: String?, keptAt keptBundlePath: String? = nil, user: ServiceUser? = nil
    ) throws(SandboxError) -> ChildProcess<Channel> {
        let bytesMax = MessageLimits.messageBytesMax
        if let child = try Reexecution.child(messageBytesMax: bytesMax, waitMax: replyWaitMax) {
            // After the execution the process's name is that of the link in /proc.
            try Privileges.rename("rpcwarden")
            return child
        }
        let parent = getpid()
        let child = try ChildProcess.fork(messageBytesMax: bytesMax, waitMax: replyWaitMax) { channel in
            run(load, configuration: configuration, keptAt: keptBundlePath, user, channel, parent: parent)
        }
        if Reexecution.isNeeded { throw Reexecution.execute(with: child) }
        return child
    }

    /// - Returns: the exit status.
    private static func run(
        _ load: LoadResult, configuration: String?, keptAt keptBundlePath: String?, _ user: ServiceUser?,
        _ channel: Channel, parent: Int32
    ) -> Int32 {
        do {
            try Privileges.rename("rpcwarden-nft")
            if let user { try Privileges.become(user) }
            try Privileges.keep(only: .netAdmin)
            try Privileges.endWithParent(parent)
            let process = try NetfilterProcess(load, configuration: configuration, keptAt: keptBundlePath, channel) {
                try restrictFiles()
            } restrictCalls: {
                _ = try Privileges.onlyNetfilterCalls()
            }
            let callsFew = try Privileges.onlyNetfilterCalls()
            if !callsFew { writeError("rpcwarden: this kernel has no seccomp filters; continuing without them") }
            try process.serve()
            return 0
        } catch Channel.Failure.ended {
            return 0
        } catch {
            // Before the first reply the other process reports this failure; later it waits for no reply that
            // could carry it.
            tell(.failed("\(error)"), channel)
            return 1
        }
    }

    private static func tell(_ reply: NetfilterReply, _ channel: Channel) {
        do {
            try channel.send(reply.encoded)
        } catch {
            writeError("rpcwarden: the netfilter process stops: \(error)")
        }
    }

    private static func restrictFiles() throws(SandboxError) {
        let readsOnly = try Privileges.onlyReadFiles()
        if !readsOnly { writeError("rpcwarden: this kernel has no Landlock; continuing without it") }
    }

    /// - Parameters:
    ///   - restrictFiles: called once every socket is made: from here on the process only reads files.
    ///   - restrictCalls: called by the thread that reads the files.
    init(
        _ load: LoadResult, configuration: String?, keptAt keptBundlePath: String? = nil, _ channel: Channel,
        restrictFiles: () throws -> Void = {}, restrictCalls: @escaping @Sendable () throws -> Void = {}
    ) throws {
        self.channel = channel
        table = try NetfilterTable()
        flows = try Flows()
        monitor = try TableMonitor(table: load.settings.firewall.table, ownPortID: table.portID)
        try Predecessor.awaitEnd(of: load.settings.firewall.table, table)
        routing = try RoutingKeeper()
        dropLog = Self.dropLog(load.settings.firewall)
        features = KernelFeatures(ownsTables: table.ownsTables, logsDrops: dropLog != nil)
        settings = load.settings.fitted(to: features)
        shape = settings.tableShape
        table.gateway = shape.gateway
        ceiling = Ceiling(settings: settings, rules: load.rules)
        lastBundle = load.lastBundle
        try restrictFiles()
        reader = try FileReader(
            configuration: configuration, keptAt: keptBundlePath, features, restrict: restrictCalls)
        try followChanges()
        try routing.planChanged(to: settings.gateway?.managedRouting)
    }

    deinit { reader.close() }

    /// Without NFLOG the guard works, but expired grants aren't revived and probes aren't seen.
    private static func dropLog(_ settings: Settings.Firewall) -> DropLog? {
        guard settings.logGroup != 0, settings.management == .guardPorts else { return nil }
        do {
            return try Predecessor.repeating { () throws(NetfilterError) in try DropLog(group: settings.logGroup) }
        } catch {
            writeError("rpcwarden: \(error); expired grants will not be revived, and probes will not be logged")
            return nil
        }
    }

    /// Serves until the other process is gone.
    func serve() throws {
        try channel.send(NetfilterReply.ready(features).encoded)
        while true { try answerNext() }
    }

    private func answerNext() throws {
        let message = try channel.receive()
        let call = try message.withUnsafeBytes { bytes throws(XDRError) in try NetfilterCall(decoding: bytes) }
        let reply = answer(call).encoded
        try channel.send(reply)
        if message.count + reply.count > Self.largeMessageBytes { Memory.trimHeap() }
    }

    private func answer(_ call: NetfilterCall) -> NetfilterReply {
        do {
            switch call {
            case .commit(let transaction): return .committed(commit(transaction))
            case .contents: return .contents(try contents())
            case .guarded:
                let firewall = settings.firewall
                return .guarded(try table.guarded(of: firewall.table, isShared: firewall.management == .sets))
            case .lifetimes(let keys): return .lifetimes(try table.lifetimes(of: keys, in: settings.firewall.table))
            case .uses(let keys): return .uses(try table.uses(of: keys, in: settings.firewall.table))
            case .cut(let cuts): return try cut(cuts)
            case .events: return .events(events())
            case .drops:
                var drops = try table.drops(of: settings.firewall.table)
                drops.unreported = UInt64(dropLog?.lost ?? 0)
                return .drops(drops)
            case .reload:
                fresh = nil
                reader.request(inForce: settings, after: lastBundle)
                return .reloading
            case .enforce: return try enforce()
            }
        } catch {
            return .failed("\(error)")
        }
    }

    private func commit(_ transaction: Transaction) -> CommitFailure? {
        do throws(CommitFailure) {
            let outside = try judge(transaction)
            if let failure = table.commit(transaction) {
                // Several batches exchange all ranges.
                if transaction.exchangesStanding { ceiling.mayBeDone(outside) }
                return failure
            }
            ceiling.done(transaction, outside)
            cutUnmarkable(transaction)
            routing.committed(transaction, settings.gateway?.managedRouting)
            return nil
        } catch {
            _ = refused(error.message)
            return error
        }
    }

    /// Cuts the permitted flows, also if others are refused.
    private func cut(_ cuts: [ServicePort: Set<AddressRange>]) throws(NetfilterError) -> NetfilterReply {
        let refusals = cuts.keys.sorted().compactMap(ceiling.refusal(toCut:))
        let why = refusals.first.map { refused(refusals.count == 1 ? $0 : "\($0), and \(refusals.count - 1) more") }
        let permitted = why == nil ? cuts : cuts.filter { ceiling.refusal(toCut: $0.key) == nil }
        let count = try permitted.isEmpty ? 0 : table.cut(flows, permitted, in: settings.firewall.table)
        return why.map(NetfilterReply.failed) ?? .cut(count)
    }

    /// Flows to newly guarded ports began without a grant, whatever mark they have.
    private func cutUnmarkable(_ transaction: Transaction) {
        do throws(NetfilterError) {
            let newly = transaction.newlyGuarded(in: shape, inherited: guarded)
            try table.cutFlows(flows, to: newly, unless: transaction)
        } catch {
            // The guard is in force; it only fails to stop flows that other software marked.
            writeError("rpcwarden: flows that began before their ports were guarded were not cut: \(error)")
        }
    }

    /// The ledger still counts expired grants: if the ceiling is exceeded because of them, the kernel is asked.
    private func judge(_ transaction: Transaction) throws(CommitFailure) -> OutsideElements {
        do throws(CommitFailure) {
            return try ceiling.judge(transaction)
        } catch {
            guard error.kind == .full else { throw error }
            let grants = ceiling.outside.grants
            do {
                let held = try table.lifetimes(of: grants, in: settings.firewall.table)
                ceiling.outside.keep { held[$0] != nil }
            } catch {
                writeError("rpcwarden: \(error)")
            }
            return try ceiling.judge(transaction)
        }
    }

    /// Written to stderr here too: the requesting process may be compromised.
    private func refused(_ why: String) -> String {
        writeError("rpcwarden: \(why)")
        return why
    }

    private func events() -> NetfilterEvents {
        let result = reader.takeResult()
        if let result { fresh = result.fresh }
        // The servers of the table that was made last.
        monitor.gateway = table.gateway
        dropLog?.gateway = table.gateway
        return NetfilterEvents(
            unsettled: table.settle(), changes: monitor.readEvents(), packets: dropLog?.readEvents() ?? [],
            routing: routing.look(), reading: result?.files)
    }

    /// Announcements are turned off for a table that this process owns, since no other process can change it.
    private func followChanges() throws(NetfilterError) { try monitor.follow(!shape.isOwned) }

    private func contents() throws(NetfilterError) -> TableContents? {
        let takesOver = shape.isOwned ? try table.claim(settings.firewall.table) : false
        let contents = try table.contents(
            of: settings.firewall.table, isShared: settings.firewall.management == .sets,
            mayBeKept: takesOver ? { [ceiling] in ceiling.permits(staying: $0, for: $1) } : nil)
        guarded = contents?.guarded ?? []
        if !hasInherited, let contents { ceiling.inherit(contents) }
        hasInherited = true
        return contents
    }

    /// Only the files can raise the ceiling.
    private func enforce() throws -> NetfilterReply {
        guard let fresh else { return .failed("no files were read for this reload") }
        self.fresh = nil
        // Another reading may have been put in force since this one began.
        if let next = fresh.lastBundle,
            let why = lastBundle?.refusal(of: next, inFleet: fresh.settings.fleet?.policy?.fleet)
        {
            return .failed(refused(why))
        }
        // First, since it may fail: then everything stays as it was.
        try routing.planChanged(to: fresh.settings.gateway?.managedRouting)
        let old = ceiling
        (settings, ceiling) = (fresh.settings, fresh.ceiling)
        lastBundle = fresh.lastBundle
        ceiling.succeed(old)
        try followChanges()
        return .enforced
    }
}

/// Waits for resources of another rpcwarden, perhaps one just killed: the kernel frees them a moment later.
private enum Predecessor {
    private static let attemptsMax = 100
    private static let pauseMicroseconds: UInt32 = 10_000

    static func repeating<Value, Failure>(
        _ body: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        for _ in 1..<attemptsMax {
            do throws(Failure) { return try body() } catch { usleep(pauseMicroseconds) }
        }
        return try body()
    }

    /// Waits until the earlier owner is gone, or the attempts are used up: then the first transaction is refused,
    /// with the owner's name.
    static func awaitEnd(of name: String, _ table: NetfilterTable) throws(NetfilterError) {
        for _ in 0..<attemptsMax {
            guard let owner = try table.owner(of: name), owner != table.portID else { return }
            usleep(pauseMicroseconds)
        }
    }
}

extension Transaction {
    /// The ports that the transaction guards and that were not guarded before; empty where the guard drops nothing.
    fileprivate func newlyGuarded(in current: TableShape, inherited: Set<ServicePort>) -> Set<ServicePort> {
        var shape = current
        var guarded: Set<ServicePort> = []
        var before: Set<ServicePort> = []
        for operation in operations {
            if let made = operation.madeTable {
                shape = made
                before = operation == .adoptTable(made) ? inherited : []
            }
            if case .guardPort(let service) = operation { guarded.insert(service) }
        }
        guard shape.management == .guardPorts, !shape.observes else { return [] }
        return guarded.subtracting(before)
    }
}
