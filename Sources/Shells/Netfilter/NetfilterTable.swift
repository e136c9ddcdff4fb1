import Addresses
import CNetfilter
import Firewall
import Glibc

/// rpcwarden's table in the kernel. Every call completes on the caller's thread before it returns.
///
/// The table is in the network namespace of the thread that called `init`.
public final class NetfilterTable {
    /// How often a transaction is tried while the kernel is busy.
    static let commitAttemptsMax = 4

    let socket: NetlinkSocket
    let localAddresses: LocalAddresses
    private var batch = Batch()
    /// By table: revoked grants that ``settle()`` has yet to check.
    var unsettled: [String: Set<GrantKey>] = [:]
    /// The servers that operations may name: those of the table that was made last.
    public var gateway: GatewayShape?
    /// The table that may keep its grants; `nil` after the first transaction.
    var found: Parts?

    public init() throws(NetfilterError) {
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER)
        localAddresses = try LocalAddresses()
        // If thousands of messages of a transaction fail, at least the first errors must fit the buffer.
        socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
    }

    /// The netlink port id, by which ``TableMonitor`` recognizes the changes of this process.
    public var portID: UInt32 { socket.portID }

    /// Tries whether the kernel has tables that only their owner can change and that outlive the owner. Nothing is
    /// changed, and no program is told of a change.
    public func tryOwnedTables() -> OwnedTables { OwnedTables(trial: refusal(ofTableWith: Batch.ownedTableFlags)) }

    /// The failure of a new table with these flags, which is never committed; `nil`: the kernel would make it.
    func refusal(ofTableWith flags: Int32) -> CommitFailure? {
        Self.repeatingWhileBusy {
            send(of: "rpcwarden_trial", commits: false) { $0.tryTable(withFlags: flags) }
        }.first
    }

    /// Commits the whole transaction as one batch, acknowledged by the kernel; or does nothing and returns the failure.
    ///
    /// If a revoked grant keeps coming back, that is the failure, and everything else is done. Call ``settle()`` later.
    public func commit(_ transaction: Transaction) -> CommitFailure? {
        defer { found = nil }
        if let failure = exchangesRules(transaction) ? exchange(transaction) : commitOnce(transaction) {
            return failure
        }
        if let waiting = unsettled[transaction.table] {
            unsettled[transaction.table] = waiting.subtracting(transaction.operations.compactMap(\.issued))
        }
        return revokeForGood(transaction.revoked, in: transaction.table)
    }

    /// - Parameter others: operations that are left out, since another transaction does them.
    func commitOnce(_ transaction: Transaction, without others: Set<Int> = []) -> CommitFailure? {
        guard !transaction.isEmpty else { return nil }
        let before = gateway
        if let made = transaction.operations.lazy.compactMap(\.madeTable).last { gateway = made.gateway }
        if let failure = strangeServer(transaction) ?? commitOnce(atKnownServers: transaction, without: others) {
            gateway = before
            return failure
        }
        return nil
    }

    /// The failure of an operation at a server that the table doesn't have, or doesn't have for its clients.
    func strangeServer(_ transaction: Transaction) -> CommitFailure? {
        let index = transaction.operations.firstIndex { operation in
            guard let (server, client) = operation.target else { return false }
            return !reaches(server, from: client) || server.isCallback && !operation.isOfGrant
        }
        return index.map {
            CommitFailure(errno: EINVAL, message: "no such server behind this gateway", operation: $0)
        }
    }

    private func commitOnce(atKnownServers transaction: Transaction, without others: Set<Int>) -> CommitFailure? {
        var transaction = transaction
        var absent = others
        while true {
            let failures = Self.repeatingWhileBusy { attempt(transaction, without: absent) }
            guard !failures.isEmpty else { return nil }
            // Operations that the next attempt skips or replaces; several messages of one operation may have failed.
            var settled: Set<Int> = []
            for failure in failures {
                guard let index = failure.operation else { continue }
                if Self.isAbsent(failure, transaction.operations[index]), absent.insert(index).inserted {
                    settled.insert(index)
                } else if let issue = Self.reissue(failure, transaction.operations[index]) {
                    transaction.operations[index] = issue
                    settled.insert(index)
                }
            }
            let other = failures.first { $0.operation.map { !settled.contains($0) } ?? true }
            if let other { return explained(other, transaction) }
        }
    }

    /// Whether the server exists; with a client, also whether both are of one address family.
    func reaches(_ server: ServerID, from client: IPAddress?) -> Bool {
        guard server != .thisHost else { return true }
        guard let client else { return gateway?.address(of: server) != nil }
        return gateway?.hasAddress(of: server, for: client) == true
    }

    /// Repeats the attempt while all of its failures are of kind `busy`.
    ///
    /// Safe even if a batch was done and its answer was lost: every operation is idempotent.
    static func repeatingWhileBusy(_ attempt: () -> [CommitFailure]) -> [CommitFailure] {
        for _ in 1..<commitAttemptsMax {
            let failures = attempt()
            guard !failures.isEmpty, failures.allSatisfy({ $0.kind == .busy }) else { return failures }
        }
        return attempt()
    }

    /// The failure, with an explanation of "Operation not permitted".
    private func explained(_ failure: CommitFailure, _ transaction: Transaction) -> CommitFailure {
        guard failure.errno == EPERM else { return failure }
        var explained = failure
        explained.message += ": " + reason(failure, transaction)
        return explained
    }

    /// The kernel checks capabilities before it takes a batch, and a table's owner at each message.
    private func reason(_ failure: CommitFailure, _ transaction: Transaction) -> String {
        guard let operation = failure.operation else { return "CAP_NET_ADMIN is missing" }
        let table = transaction.operations[operation].table ?? transaction.table
        return
            "table inet \(table) belongs to \(ownerText(table)), perhaps another rpcwarden, which alone may change it"
            + " until it ends"
    }

    private func ownerText(_ table: String) -> String {
        do throws(NetfilterError) {
            guard let portID = try owner(of: table) else { return "another process" }
            return "another process (netlink port \(portID), as a rule its process id)"
        } catch {
            // The failure itself is reported in any case.
            return "another process"
        }
    }

    /// Whether the operation failed because the element to delete doesn't exist and can't be added either.
    ///
    /// Adding an existing element succeeds. ENFILE: it doesn't exist, and the set is full. EEXIST: another range
    /// overlaps it.
    private static func isAbsent(_ failure: CommitFailure, _ operation: Operation) -> Bool {
        (failure.errno == ENFILE || failure.errno == EEXIST) && operation.isRemoval
    }

    /// The operation that replaces an `issueNew` if its grant exists already.
    private static func reissue(_ failure: CommitFailure, _ operation: Operation) -> Operation? {
        guard failure.errno == EEXIST, case .issueNew(let key, let timeout, let comment) = operation else { return nil }
        return .issue(key, timeout: timeout, expiresIn: nil, comment: comment)
    }

    /// Sends one batch; returns the failures in the order of its messages, or an empty array.
    private func attempt(_ transaction: Transaction, without absent: Set<Int>) -> [CommitFailure] {
        send(of: transaction.table) { batch throws(NetfilterError) in
            for (index, operation) in transaction.operations.enumerated() where !absent.contains(index) {
                batch.operation = index
                if let guardTable = try guardTable(inTheWayOf: operation) { batch.deleteTable(guardTable) }
                switch operation {
                case .makeTable(let shape):
                    let revoked = revokedToKeep(in: shape)
                    batch.makeTable(shape)
                    if let revoked { batch.noteRevoked(revoked) } else { batch.settle(.udp, for: Batch.settlingTime) }
                case .adoptTable(let shape):
                    let revoked = revokedToKeep(in: shape)
                    batch.adoptTable(shape, try partsToTake(of: shape))
                    batch.noteRevoked(revoked ?? [:])
                case .deleteTable, .guardPort, .unguardPort, .issue, .issueNew, .revoke, .remember, .forget,
                    .addStanding,
                    .removeStanding, .replaceStanding, .addCallers, .removeCallers, .quarantine, .release, .shield,
                    .unshield:
                    batch.write(operation)
                }
            }
        }
    }

    /// The revoked clients of the guard's table that the new one replaces; `nil`: there is no such table.
    private func revokedToKeep(in shape: TableShape) -> [GrantKey: Duration]? {
        switch shape.management {
        case .sets: return [:]
        case .guardPorts: break
        }
        do throws(NetfilterError) {
            return try hasRules(shape.name) ? try revoked(in: shape.name) : nil
        } catch {
            // The transaction itself will fail and report the error.
            return nil
        }
    }

    /// Sends one batch with the messages that `write` puts into it.
    ///
    /// - Parameter commits: `false`: the kernel only checks the batch.
    func send(
        of table: String, commits: Bool = true, _ write: (inout Batch) throws(NetfilterError) -> Void
    ) -> [CommitFailure] {
        batch.start(table: table, sequence: socket.nextSequence())
        batch.gateway = gateway
        do throws(NetfilterError) {
            try write(&batch)
        } catch {
            return [Self.failure(error) ?? Self.failure("reading the table", ENOENT)]
        }
        guard !batch.isEmpty else { return [] }
        batch.finish(commits: commits)
        socket.skipSequences(batch.sequencesUsed)
        let sent = socket.send(batch.bytes)
        guard sent == 0 else { return [Self.failure("sending to the kernel", sent)] }
        let failures = acknowledgements()
        batch.clear()
        return failures
    }

    /// The name of an earlier guard's table, which must be deleted where only sets are managed; `nil` for any
    /// other table.
    private func guardTable(inTheWayOf operation: Operation) throws(NetfilterError) -> String? {
        guard case .makeTable(let shape) = operation, shape.management == .sets else { return nil }
        return try hasRules(shape.name) ? shape.name : nil
    }

    /// Reads the kernel's answers, which are all there once it has taken the batch.
    ///
    /// The kernel reports failed messages, and acknowledges the last message in any case, unless it refused the
    /// whole batch.
    private func acknowledgements() -> [CommitFailure] {
        var failures: [CommitFailure] = []
        var silence = EPROTO
        while true {
            switch socket.receive(waits: false) {
            // So many messages failed that not all errors fit; the first ones did, and follow.
            case .failed(ENOBUFS): silence = ENOBUFS
            case .failed(let number):
                return failures + [Self.failure("reading the kernel's answer", number)]
            case .nothing:
                return failures.isEmpty ? [Self.failure("no answer of the kernel", silence)] : failures
            case .bytes(let bytes):
                var isDone = false
                for message in NetlinkMessages(bytes) where message.type == NLMSG_ERROR {
                    guard batch.contains(sequence: message.sequence) else { continue }
                    let answer = Acknowledgement(error: message)
                    if answer.errno != 0 { failures.append(failure(answer, message.sequence)) }
                    isDone = isDone || message.sequence == batch.lastSequence
                }
                if isDone { return failures }
            }
        }
    }

    private static func failure(_ doing: String, _ number: Int32) -> CommitFailure {
        CommitFailure(errno: number, message: "\(doing): \(errorText(number))")
    }

    private func failure(_ answer: Acknowledgement, _ sequence: UInt32) -> CommitFailure {
        // The text of ENFILE, "Too many open files in system", is misleading here.
        let text = answer.errno == ENFILE ? "the set is full (ENFILE)" : answer.text
        return CommitFailure(errno: answer.errno, message: text, operation: batch.operation(ofSequence: sequence))
    }
}

extension Operation {
    /// Callbacks have grants, and nothing else.
    fileprivate var isOfGrant: Bool {
        switch self {
        case .issue, .issueNew, .revoke: true
        case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .remember, .forget, .addStanding,
            .removeStanding, .replaceStanding, .addCallers, .removeCallers, .quarantine, .release, .shield, .unshield:
            false
        }
    }

    /// The server that the operation names, and the client or the first client.
    fileprivate var target: (server: ServerID, client: IPAddress?)? {
        switch self {
        case .guardPort(let service), .unguardPort(let service): (service.server, nil)
        case .issue(let key, _, _, _), .issueNew(let key, _, _), .revoke(let key), .remember(let key, _, _),
            .forget(let key):
            (key.service.server, key.client)
        case .addStanding(let key), .removeStanding(let key): (key.service.server, key.clients.first)
        case .addCallers(let key), .removeCallers(let key): (key.server, key.clients.first)
        case .makeTable, .adoptTable, .deleteTable, .replaceStanding, .quarantine, .release, .shield, .unshield: nil
        }
    }

    /// The table that the operation names, if it isn't the transaction's.
    fileprivate var table: String? {
        if case .deleteTable(let name) = self { name } else { madeTable?.name }
    }
}
