import Addresses
import Calls
import Clock
import Configuration

/// Whether services live: the questions that wait or are under way, and the answers that are remembered.
///
/// ```
/// looked ──remembered──────────────────────────────────────▶ answered
///    └──▶ waiting ──room for its address──▶ under way ──answer──▶ remembered
///            └──too many wait──▶ answered: dead, and not remembered
/// ```
/// A look is a set of questions that are answered together. Equal questions of several looks are asked once.
struct LivenessBook {
    typealias LookID = UInt64

    struct Key: Hashable, Sendable {
        var question: LivenessQuestion
        var how: Settings.Server.Liveness
    }

    /// A question to be asked now.
    struct Probe: Hashable {
        var key: Key
        var timeout: Duration
        /// The address of this host that asks; `nil`: the kernel chooses.
        var source: IPAddress?
    }

    struct Answered: Hashable {
        var look: LookID
        var answers: [LivenessQuestion: LivenessAnswer]
    }

    private struct Look {
        var missing: Int
        var answers: [LivenessQuestion: LivenessAnswer] = [:]
    }

    /// A question that waits or is under way, and the looks that it is part of.
    private struct Entry {
        var probe: Probe
        var looks: [LookID]
    }

    private typealias Line = ArraySlice<(order: UInt64, key: Key)>

    /// Each question under way takes a descriptor.
    static let underWayMax = 256
    /// Bounds what a server is asked at once, and what one that is down can hold up.
    static let underWayPerAddressMax = 32
    static let waitingMax = 4096
    static let rememberedMax = 8192
    static let aliveTime: Duration = .seconds(10)
    /// Short, since clients try again: a service that comes up is found soon.
    static let deadTime: Duration = .seconds(2)

    private var looks: [LookID: Look] = [:]
    private var entries: [Key: Entry] = [:]
    /// The questions that wait, of each address, oldest first.
    private var lines: [IPAddress: Line] = [:]
    private var underWay: [IPAddress: Int] = [:]
    private var lastOrder: UInt64 = 0
    private(set) var waitingCount = 0
    private(set) var underWayCount = 0
    private var remembered: [Key: LivenessAnswer] = [:]
    /// When each remembered answer is forgotten.
    private var expiries = DueTable<Key>()

    var rememberedCount: Int { remembered.count }

    /// - Returns: the looks that are answered by this, this one or others.
    mutating func look(
        _ id: LookID, _ questions: [LivenessQuestion], how: Settings.Server.Liveness, timeout: Duration,
        source: IPAddress?, at now: Instant
    ) -> [Answered] {
        forget(until: now)
        let distinct = Set(questions)
        guard !distinct.isEmpty else { return [Answered(look: id, answers: [:])] }
        looks[id] = Look(missing: distinct.count)
        var seen: Set<LivenessQuestion> = []
        var answered: [Answered] = []
        for question in questions where seen.insert(question).inserted {
            let key = Key(question: question, how: how)
            if let known = knownAnswer(key) {
                answered += answer(question, known, to: [id])
            } else if entries[key] != nil {
                entries[key]?.looks.append(id)
            } else {
                let probe = Probe(key: key, timeout: timeout, source: source)
                answered += wait(Entry(probe: probe, looks: [id]))
            }
        }
        return answered
    }

    /// Removes and returns the questions to ask now.
    ///
    /// The address with the fewest questions under way comes first, so that servers that are down don't hold up the
    /// others; of addresses with equally many, the one whose question has waited longest.
    mutating func takeNext() -> [Probe] {
        var probes: [Probe] = []
        while underWayCount < Self.underWayMax, let address = nextAddress, let next = lines[address]?.popFirst() {
            removeIfEmpty(address)
            waitingCount -= 1
            guard let entry = entries[next.key] else { continue }
            underWayCount += 1
            underWay[address, default: 0] += 1
            probes.append(entry.probe)
        }
        return probes
    }

    /// The answer to a question that was under way.
    /// - Parameter isRemembered: whether later looks may share it.
    /// - Returns: the looks that are answered by this.
    mutating func answered(
        _ key: Key, _ told: LivenessAnswer, isRemembered: Bool = true, at now: Instant
    ) -> [Answered] {
        guard let entry = entries.removeValue(forKey: key) else { return [] }
        let address = key.question.address
        underWayCount -= 1
        underWay[address, default: 1] -= 1
        if underWay[address] == 0 { underWay[address] = nil }
        if isRemembered { remember(key, told, at: now) }
        return answer(key.question, told, to: entry.looks)
    }

    private func knownAnswer(_ key: Key) -> LivenessAnswer? {
        switch (key.how, key.question.service.transport) {
        // There is no handshake to try.
        case (.off, _), (.connect, .udp): .alive
        case (.call, _), (.connect, .tcp): remembered[key]
        }
    }

    private var nextAddress: IPAddress? {
        var best: (address: IPAddress, underWay: Int, order: UInt64)?
        for (address, line) in lines {
            let count = underWay[address, default: 0]
            guard count < Self.underWayPerAddressMax, let order = line.first?.order else { continue }
            if let best, (best.underWay, best.order) < (count, order) { continue }
            best = (address, count, order)
        }
        return best?.address
    }

    /// - Returns: the looks that are answered by the question for which no place is left.
    private mutating func wait(_ entry: Entry) -> [Answered] {
        let key = entry.probe.key
        var answered: [Answered] = []
        if waitingCount >= Self.waitingMax {
            guard let longest = lines.max(by: { $0.value.count < $1.value.count }),
                longest.value.count > lines[key.question.address, default: []].count
            else { return answer(key.question, .dead, to: entry.looks) }
            answered = dropNewest(of: longest.key)
        }
        entries[key] = entry
        lastOrder += 1
        lines[key.question.address, default: []].append((lastOrder, key))
        waitingCount += 1
        return answered
    }

    /// Makes room for another address.
    private mutating func dropNewest(of address: IPAddress) -> [Answered] {
        guard let dropped = lines[address]?.popLast() else { return [] }
        removeIfEmpty(address)
        waitingCount -= 1
        guard let entry = entries.removeValue(forKey: dropped.key) else { return [] }
        return answer(dropped.key.question, .dead, to: entry.looks)
    }

    private mutating func removeIfEmpty(_ address: IPAddress) {
        if lines[address]?.isEmpty == true { lines[address] = nil }
    }

    private mutating func answer(
        _ question: LivenessQuestion, _ told: LivenessAnswer, to ids: [LookID]
    ) -> [Answered] {
        var answered: [Answered] = []
        for id in ids {
            guard var look = looks.removeValue(forKey: id) else { continue }
            look.answers[question] = told
            look.missing -= 1
            if look.missing == 0 {
                answered.append(Answered(look: id, answers: look.answers))
            } else {
                looks[id] = look
            }
        }
        return answered
    }

    private mutating func remember(_ key: Key, _ told: LivenessAnswer, at now: Instant) {
        forget(until: now)
        if remembered.count >= Self.rememberedMax, let first = expiries.popFirst(until: .distantFuture) {
            remembered[first.key] = nil
        }
        remembered[key] = told
        expiries.insert(key, at: now + (told == .alive ? Self.aliveTime : Self.deadTime))
    }

    private mutating func forget(until now: Instant) {
        while let expired = expiries.popFirst(until: now) { remembered[expired.key] = nil }
    }
}
