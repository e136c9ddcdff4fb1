import Calls
import Clock
import ONCRPC
import Portmapper

/// The questions for the stream to a portmapper: waiting, in flight, or late.
///
/// ```
/// asked ──▶ waiting ──send──▶ in flight ──reply──▶ answered
///              ▲                │ ├──deadline──▶ late
///              ├──disconnected──┤ └──disconnected a second time──▶ late
///              └──unavailable───┘   (DUMP is asked in an older version)
/// ```
struct CallQueue {
    struct Sent {
        var question: Question
        var deadline: Instant
        var sentAt: Instant
        var attempts: Int
        /// The version that was asked, if the question is a DUMP.
        var dumpVersion: PortmapperVersion
    }

    private struct Waiting {
        var question: Question
        var deadline: Instant
        var attempts: Int
    }

    /// Bounds replies to what rpcbind can write without waiting: it blocks on a stream that isn't read.
    static let inFlightMax = 128
    static let waitingMax = 4096
    /// A question is sent again once if the stream breaks: rpcbind may have been restarted.
    static let attemptsMax = 2
    /// A listing may take longer than the timeout while its bytes arrive; local users can make it as long as they like.
    static let listingTimeMax: Duration = .seconds(10)

    /// A longer time between two calls of ``timeAdvanced(to:)`` is a stall of this process, as of a host that was
    /// suspended.
    static let tickMax: Duration = .milliseconds(100)

    let timeout: Duration
    private var advancedAt: Instant?
    /// When bytes of an incomplete reply arrived last.
    private var partArrivedAt = Instant(nanoseconds: .min / 2)
    private var waiting: [Waiting] = []
    private(set) var inFlight: [UInt32: Sent] = [:]
    private var nextXID: UInt32
    /// DUMP is asked in no older version than this.
    private let oldestVersion: PortmapperVersion
    /// The version of the next DUMP: the newest that this stream's portmapper is not known to lack.
    private var dumpVersion = PortmapperVersion.v4

    /// - Parameter firstXID: chosen at random, so that other hosts can't guess xids.
    init(timeout: Duration, firstXID: UInt32, oldestVersion: PortmapperVersion) {
        self.timeout = timeout
        nextXID = firstXID
        self.oldestVersion = oldestVersion
    }

    var isEmpty: Bool { waiting.isEmpty && inFlight.isEmpty }

    var isAnyWaiting: Bool { !waiting.isEmpty }

    /// - Returns: `false` if too many questions wait already.
    mutating func ask(_ question: Question, at now: Instant) -> Bool {
        guard waiting.count < Self.waitingMax else { return false }
        waiting.append(Waiting(question: question, deadline: now + timeout, attempts: 0))
        return true
    }

    /// Removes and returns the messages that may be sent now.
    mutating func takeSendable(at now: Instant) -> [[UInt8]] {
        let count = min(waiting.count, Self.inFlightMax - inFlight.count)
        guard count > 0 else { return [] }
        defer { waiting.removeFirst(count) }
        return waiting.prefix(count).map { item in
            nextXID &+= 1
            inFlight[nextXID] = Sent(
                question: item.question, deadline: item.deadline, sentAt: now, attempts: item.attempts + 1,
                dumpVersion: dumpVersion)
            let call = item.question == .registry ? .dump(dumpVersion) : item.question.call
            return call.encoded(xid: nextXID)
        }
    }

    /// Notes that bytes of an incomplete reply arrived: rpcbind is not stuck.
    mutating func partArrived(at now: Instant) { partArrivedAt = now }

    /// Whether a reply is arriving, or was within the timeout.
    func isReceiving(at now: Instant) -> Bool { partArrivedAt + timeout > now }

    private func deadline(of sent: Sent) -> Instant {
        guard sent.question == .registry else { return sent.deadline }
        return max(sent.deadline, min(partArrivedAt + timeout, sent.sentAt + Self.listingTimeMax))
    }

    /// The question that the reply answers; `nil`: the question is unknown, or no longer in flight.
    mutating func replied(xid: UInt32) -> Question? {
        inFlight.removeValue(forKey: xid)?.question
    }

    /// The version of the DUMP in flight with this xid; `nil` if there is none.
    func dumpVersion(of xid: UInt32) -> PortmapperVersion? {
        guard let sent = inFlight[xid], sent.question == .registry else { return nil }
        return sent.dumpVersion
    }

    /// The portmapper lacks the DUMP with this xid: it waits again, to be asked in the next older version.
    ///
    /// - Returns: `false` if there is no older version to ask, or no DUMP with this xid in flight.
    mutating func askOlder(insteadOf xid: UInt32) -> Bool {
        guard let sent = inFlight[xid], sent.question == .registry else { return false }
        guard sent.dumpVersion.rawValue > oldestVersion.rawValue,
            let older = PortmapperVersion(rawValue: sent.dumpVersion.rawValue - 1)
        else {
            // It may be started anew with other versions.
            dumpVersion = .v4
            return false
        }
        if older.rawValue < dumpVersion.rawValue { dumpVersion = older }
        inFlight[xid] = nil
        waiting.insert(
            Waiting(question: sent.question, deadline: sent.deadline, attempts: sent.attempts - 1), at: 0)
        return true
    }

    /// Called periodically, before ``takeLate(at:)``: a stall of this process counts to no question's time, since
    /// replies may wait in the socket.
    mutating func timeAdvanced(to now: Instant) {
        defer { advancedAt = now }
        guard let advancedAt, now - advancedAt > Self.tickMax else { return }
        let stall = now - advancedAt - Self.tickMax
        for index in waiting.indices { waiting[index].deadline = postponed(waiting[index].deadline, by: stall, now) }
        inFlight = inFlight.mapValues { sent in
            var sent = sent
            sent.deadline = postponed(sent.deadline, by: stall, now)
            sent.sentAt = min(sent.sentAt + stall, now)
            return sent
        }
        partArrivedAt = min(partArrivedAt + stall, now)
    }

    /// A question that was asked after the stall has the whole timeout already.
    private func postponed(_ deadline: Instant, by stall: Duration, _ now: Instant) -> Instant {
        min(deadline + stall, now + timeout)
    }

    /// Removes the questions that were not answered in time.
    ///
    /// - Returns: these questions, and whether the stream is stuck. Questions that waited don't show that, nor do
    ///   look-ups while a listing arrives.
    mutating func takeLate(at now: Instant) -> (questions: [Question], isStuck: Bool) {
        var late: [Question] = []
        for (xid, sent) in inFlight where deadline(of: sent) <= now {
            inFlight[xid] = nil
            late.append(sent.question)
        }
        let isStuck = late.contains(.registry) || !late.isEmpty && !isReceiving(at: now)
        late += waiting.filter { $0.deadline <= now }.map(\.question)
        waiting.removeAll { $0.deadline <= now }
        return (late, isStuck)
    }

    /// The stream broke: its questions wait again, once.
    /// - Returns: the questions without attempts left.
    mutating func disconnected() -> [Question] {
        dumpVersion = .v4
        // Oldest first; xids wrap around.
        let broken = inFlight.sorted { $0.key &- nextXID &- 1 < $1.key &- nextXID &- 1 }.map(\.value)
        inFlight = [:]
        waiting.insert(
            contentsOf: broken.filter { $0.attempts < Self.attemptsMax }.map {
                Waiting(question: $0.question, deadline: $0.deadline, attempts: $0.attempts)
            }, at: 0)
        return broken.filter { $0.attempts >= Self.attemptsMax }.map(\.question)
    }

    /// Removes and returns all questions.
    mutating func takeAll() -> [Question] {
        defer {
            inFlight = [:]
            waiting = []
        }
        return inFlight.values.map(\.question) + waiting.map(\.question)
    }
}
