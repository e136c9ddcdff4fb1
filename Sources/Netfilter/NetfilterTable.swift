import CNetfilter
import Firewall
import Glibc

/// Our table in the kernel; everything happens before a call returns, on the caller's thread.
///
/// The calling thread's network namespace at `init` is the one whose table it is.
public final class NetfilterTable {
    let socket: NetlinkSocket
    private var batch = Batch()

    public init() throws(NetfilterError) {
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER)
        // Of the answers to a transaction that fails a thousandfold the first ones must fit, at least.
        socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
    }

    /// The netlink port id, which marks our own changes in what ``TableMonitor`` reads.
    public var portID: UInt32 { socket.portID }

    /// Whether the kernel has tables that only their owner changes and that outlive it (6.9).
    public static func supportsOwnedTables() -> Bool { cnf_kernel_version() >= 6009 }

    /// Does all of the transaction, as one batch that the kernel has acknowledged, or nothing and says why.
    public func commit(_ transaction: Transaction) -> CommitFailure? {
        guard !transaction.isEmpty else { return nil }
        var absent: Set<Int> = []
        while true {
            let failures = attempt(transaction, without: absent)
            guard !failures.isEmpty else { return nil }
            let more = Set(failures.compactMap { Self.absent($0, transaction) }).subtracting(absent)
            let others = failures.filter { $0.operation.map { !more.contains($0) } ?? true }
            if let failure = others.first { return failure }
            absent.formUnion(more)
        }
    }

    /// The operation, if it failed because what it shall take away isn't there and can't be added either.
    ///
    /// Adding what is there succeeds. ENFILE: it isn't there, and the set is full. EEXIST: a range is that overlaps it.
    private static func absent(_ failure: CommitFailure, _ transaction: Transaction) -> Int? {
        guard failure.errno == ENFILE || failure.errno == EEXIST, let index = failure.operation,
            transaction.operations[index].isRemoval
        else { return nil }
        return index
    }

    /// One batch; why it failed, in the order of its messages, or nothing.
    private func attempt(_ transaction: Transaction, without absent: Set<Int>) -> [CommitFailure] {
        batch.start(table: transaction.table, sequence: socket.nextSequence())
        for (index, operation) in transaction.operations.enumerated() where !absent.contains(index) {
            batch.operation = index
            batch.write(operation)
        }
        guard !batch.isEmpty else { return [] }
        batch.finish()
        socket.skipSequences(batch.sequencesUsed)
        let sent = socket.send(batch.bytes)
        guard sent == 0 else { return [Self.failure("sending to the kernel", sent)] }
        return acknowledgements()
    }

    /// Reads what the kernel has answered by the time that it took the batch.
    ///
    /// Messages that fail are named, and the last message answers in any case, unless the whole batch was refused.
    private func acknowledgements() -> [CommitFailure] {
        var failures: [CommitFailure] = []
        var silence = EPROTO
        while true {
            switch socket.receive(waits: false) {
            // So much failed that not all answers fit; the first ones did, and follow.
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
        // The text of ENFILE, "Too many open files in system", misleads here.
        let text = answer.errno == ENFILE ? "the set is full (ENFILE)" : answer.text
        return CommitFailure(errno: answer.errno, message: text, operation: batch.operation(ofSequence: sequence))
    }
}

extension Operation {
    /// Whether it takes an element away.
    fileprivate var isRemoval: Bool {
        switch self {
        case .unguardPort, .revoke, .unstand, .release: true
        case .makeTable, .deleteTable, .guardPort, .issue, .stand, .quarantine: false
        }
    }
}
