import Addresses
import Clock

/// What the daemon of this node wants of the fleet.
public struct DaemonFacts: Hashable, Sendable {
    public var version = ""
    /// The pair whose grants are shared; `nil`: none are.
    public var pair: String?
    /// Foreign grants, at most.
    public var grantsMax = 32_768
    /// How long its grants live without use.
    public var keep = Duration.seconds(86_400)
    /// The group whose policy bundle is fetched; `nil`: none is.
    public var policyGroup: String?
    /// The file of the keys that bundles are signed with; the sidecar stores nothing that the daemon would refuse.
    public var policyKeys: String?
    public var sharesQuarantines = false
    public var acceptsQuarantines = false
    public var quarantinesMax = 4096
    /// So many nodes must have quarantined a client.
    public var quorum = 1
    /// `quarantine.for`, or less: no longer than the daemon takes the word of other nodes.
    public var quarantineFor = Duration.seconds(600)

    public init() {}

    static let pathBytesMax = 1024
}

/// What the daemon tells its sidecar by `fleet.sock`: an object of JSON a line.
///
/// After `hello`, and whenever the sidecar read too slowly, it tells everything: `resyncBegan`, `live`, `remembered` and
/// `quarantined`, `resyncEnded`. What isn't among that is gone.
public enum DaemonMessage: Hashable, Sendable {
    case hello(DaemonFacts)
    /// A client looked up a program and got a grant.
    case issued(SharedGrant, GrantRecord)
    /// The grant, or a copy, was used; and when.
    case used(SharedGrant, Timestamp)
    /// On purpose, and when: what is issued afterwards stands, however late the sidecar reads this.
    case ended(SharedGrant, EndedRecord)
    /// The grant's time was over, which revokes nothing elsewhere.
    case expired(SharedGrant)
    case quarantined(IPAddress, QuarantineRecord)
    case released(IPAddress)
    case status(NodeStatus)
    case resyncBegan
    /// A grant; one with an origin is a copy.
    case live(SharedGrant, GrantRecord, isUsed: Bool)
    /// A grant that the daemon remembers to have ended.
    case remembered(SharedGrant, EndedRecord)
    case resyncEnded

    /// Of a line, without its end.
    public static let bytesMax = 2048

    private enum Kind: String {
        case hello, issued, used, ended, expired, quarantined, released, status, live, remembered
        case resyncBegan = "resync-began"
        case resyncEnded = "resync-ended"
    }

    /// The line, with its end.
    public var line: [UInt8] {
        var writer = JSONWriter()
        writer.text("is", kind.rawValue)
        write(to: &writer)
        return writer.line
    }

    private var kind: Kind {
        switch self {
        case .hello: .hello
        case .issued: .issued
        case .used: .used
        case .ended: .ended
        case .expired: .expired
        case .quarantined: .quarantined
        case .released: .released
        case .status: .status
        case .resyncBegan: .resyncBegan
        case .live: .live
        case .remembered: .remembered
        case .resyncEnded: .resyncEnded
        }
    }

    private func write(to writer: inout JSONWriter) {
        switch self {
        case .hello(let facts): writer.facts(facts)
        case .issued(let grant, let record):
            writer.grant(grant)
            writer.record(.grant(record))
        case .used(let grant, let time):
            writer.grant(grant)
            writer.time("at", time)
        case .quarantined(let client, let record):
            writer.text("client", "\(client)")
            writer.record(.quarantine(record))
        case .expired(let grant): writer.grant(grant)
        case .released(let client): writer.text("client", "\(client)")
        case .status(let status): writer.record(.status(status))
        case .live(let grant, let record, let isUsed):
            writer.grant(grant)
            writer.record(.grant(record))
            writer.flag("is-used", isUsed)
        case .ended(let grant, let record), .remembered(let grant, let record):
            writer.grant(grant)
            writer.record(.ended(record))
        case .resyncBegan, .resyncEnded: break
        }
    }

    /// - Parameter line: without its end.
    public init(line: some Collection<UInt8>) throws(RecordText.Fault) {
        guard let object = JSONObject(line, bytesMax: Self.bytesMax) else { throw .malformed }
        let reader = MemberReader(object: object)
        guard let kind = Kind(rawValue: try reader.text("is")) else { throw .member("is") }
        switch kind {
        case .hello: self = .hello(try reader.facts())
        case .issued: self = .issued(try reader.sharedGrant(), try reader.grant())
        case .used: self = .used(try reader.sharedGrant(), try reader.time("at"))
        case .ended: self = .ended(try reader.sharedGrant(), try reader.ended())
        case .expired: self = .expired(try reader.sharedGrant())
        case .quarantined: self = .quarantined(try reader.address("client"), try reader.quarantine())
        case .released: self = .released(try reader.address("client"))
        case .status: self = .status(try reader.status())
        case .resyncBegan: self = .resyncBegan
        case .live: self = .live(try reader.sharedGrant(), try reader.grant(), isUsed: reader.flag("is-used"))
        case .remembered: self = .remembered(try reader.sharedGrant(), try reader.ended())
        case .resyncEnded: self = .resyncEnded
        }
    }
}

extension JSONWriter {
    mutating func grant(_ grant: SharedGrant) { text("grant", "\(grant)") }

    fileprivate mutating func facts(_ facts: DaemonFacts) {
        version()
        text("version", facts.version)
        if let pair = facts.pair { text("pair", pair) }
        number("grants-max", facts.grantsMax)
        duration("keep", facts.keep)
        if let group = facts.policyGroup { text("group", group) }
        if let keys = facts.policyKeys { text("keys", keys) }
        flag("shares-quarantines", facts.sharesQuarantines)
        flag("accepts-quarantines", facts.acceptsQuarantines)
        number("quarantines-max", facts.quarantinesMax)
        number("quorum", facts.quorum)
        duration("quarantine-for", facts.quarantineFor)
    }
}

extension MemberReader {
    fileprivate func facts() throws(RecordText.Fault) -> DaemonFacts {
        guard object.number("v") == RecordText.version else { throw .version }
        var facts = DaemonFacts()
        facts.version = try text("version")
        facts.pair = try name("pair")
        facts.grantsMax = try size("grants-max")
        facts.keep = try duration("keep")
        facts.policyGroup = try name("group")
        facts.policyKeys = object.has("keys") ? try text("keys", max: DaemonFacts.pathBytesMax) : nil
        facts.sharesQuarantines = flag("shares-quarantines")
        facts.acceptsQuarantines = flag("accepts-quarantines")
        facts.quarantinesMax = try size("quarantines-max")
        facts.quorum = try size("quorum")
        facts.quarantineFor = try duration("quarantine-for")
        return facts
    }
}
