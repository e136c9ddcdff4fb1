import Firewall
import Portmapper

/// A grant that the kernel has acknowledged.
public struct Grant: Hashable, Sendable {
    /// For whose sake the port is open; several programs may share a port.
    public var programs: Set<Program>
    /// The label of the rule that permitted it.
    public var rule: String
    public var issued: Timestamp
    /// The kernel keeps the element at least this long; packets prolong it without our knowing.
    public var expiresNotBefore: Instant
    public var writtenAt: Instant
}

/// What a grant's element carries as its comment: enough to adopt it after a restart.
public struct GrantNote: Hashable, Sendable, CustomStringConvertible {
    /// nft shows comments of up to 127 bytes.
    public static let bytesMax = 127

    public var program: Program
    public var issued: Timestamp
    public var rule: String

    public init(program: Program, issued: Timestamp, rule: String) {
        self.program = program
        self.issued = issued
        self.rule = rule
    }

    /// `100005 since 2026-11-21T11:40:03Z by policy.yaml:14 'workstations mount NFSv3'`
    public var description: String {
        // nft prints comments between double quotes, without escaping any inside.
        let text = "\(program) since \(issued) by " + rule.map { $0 == "\"" ? "'" : String($0) }.joined()
        var cut = Substring(text)
        while cut.utf8.count > Self.bytesMax { cut = cut.dropLast() }
        return String(cut)
    }

    public init?(_ comment: String) {
        let words = comment.split(separator: " ", maxSplits: 4, omittingEmptySubsequences: false)
        guard words.count == 5, words[1] == "since", words[3] == "by", let number = UInt32(words[0]),
            let issued = Timestamp(words[2])
        else { return nil }
        self.init(
            program: Program(number), issued: issued, rule: words[4].map { $0 == "'" ? "\"" : String($0) }.joined())
    }
}

/// The grants that the kernel holds, as far as we know: it expires and prolongs them by itself.
struct GrantLedger: Sendable {
    private(set) var grants: [GrantKey: Grant] = [:]
    private var countOfClient: [IPAddress: Int] = [:]
    /// When to ask the kernel whether a grant still lives.
    private var due = DueQueue<GrantKey>()

    var count: Int { grants.count }

    subscript(key: GrantKey) -> Grant? { grants[key] }

    func count(of client: IPAddress) -> Int { countOfClient[client, default: 0] }

    mutating func record(_ key: GrantKey, _ grant: Grant) {
        if grants.updateValue(grant, forKey: key) == nil { countOfClient[key.client, default: 0] += 1 }
        look(after: key, at: grant.expiresNotBefore)
    }

    /// Entries of grants that were renewed or removed stay in the queue until they are due; not more than this.
    private mutating func look(after key: GrantKey, at instant: Instant) {
        due.insert(key, at: instant)
        guard due.count > 4 * grants.count + Self.staleEntriesMax else { return }
        due = DueQueue()
        for (key, grant) in grants { due.insert(key, at: grant.expiresNotBefore) }
    }

    var dueCount: Int { due.count }
    static let staleEntriesMax = 1024

    mutating func remove(_ key: GrantKey) -> Grant? {
        guard let grant = grants.removeValue(forKey: key) else { return nil }
        let left = countOfClient[key.client, default: 1] - 1
        countOfClient[key.client] = left > 0 ? left : nil
        return grant
    }

    mutating func prolong(_ key: GrantKey, notBefore instant: Instant) {
        guard grants[key] != nil else { return }
        grants[key]?.expiresNotBefore = instant
        look(after: key, at: instant)
    }

    /// Up to `limit` grants that may have expired by now.
    mutating func takeDue(at now: Instant, limit: Int) -> [GrantKey] {
        var keys: [GrantKey] = []
        while keys.count < limit, let (key, at) = due.popFirst(until: now) {
            // Renewed since: a later entry stands for it.
            if let grant = grants[key], grant.expiresNotBefore <= at { keys.append(key) }
        }
        return keys
    }
}
