import Addresses
import Bundles
import Clock

/// How the sidecar stands with the store.
public struct StoreState: Hashable, Sendable {
    public var isConnected = false
    /// Since when.
    public var since: Timestamp
    /// Everything of the store was read, and everything of this node is written.
    public var isSynced = false
    /// Records that wait to be written.
    public var queue = 0
    /// Another host writes as this node, too.
    public var isNameShared = false
    /// Why it isn't connected, in words.
    public var detail: String?

    public init(since: Timestamp) { self.since = since }
}

/// What the sidecar tells the daemon by `fleet.sock`: an object of JSON a line.
public enum SidecarMessage: Hashable, Sendable {
    case hello(version: String, fleet: String, node: String)
    /// Told at each change of the connection, and every 10 s.
    case store(StoreState)
    case offer(GrantOffer)
    /// The copy ended; the daemon passes over it if it has issued the grant itself.
    case end(SharedGrant)
    case quarantine(QuarantineOffer)
    /// The group's bundle is on disk.
    case policy(group: String, serial: UInt64)
    /// What the store has for the group was not put on disk, in words.
    case policyRefused(group: String, detail: String)
    /// A signed order, as its publisher wrote it.
    case order(id: String, text: String)

    /// Of a line, without its end.
    public static let bytesMax = 16_384

    private enum Kind: String {
        case hello, store, offer, end, quarantine, policy, order
        case policyRefused = "policy-refused"
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
        case .store: .store
        case .offer: .offer
        case .end: .end
        case .quarantine: .quarantine
        case .policy: .policy
        case .policyRefused: .policyRefused
        case .order: .order
        }
    }

    private func write(to writer: inout JSONWriter) {
        switch self {
        case .hello(let version, let fleet, let node):
            writer.version()
            writer.text("version", version)
            writer.text("fleet", fleet)
            writer.text("node", node)
        case .store(let state):
            writer.flag("is-connected", state.isConnected)
            writer.time("since", state.since)
            writer.flag("is-synced", state.isSynced)
            writer.number("queue", state.queue)
            if state.isNameShared { writer.flag("is-name-shared", true) }
            if let detail = state.detail { writer.text("detail", GrantRecord.cut(detail)) }
        case .offer(let offer):
            writer.grant(offer.grant)
            writer.text("node", offer.node)
            writer.text("origin", offer.origin)
            writer.time("issued", offer.issued)
            writer.duration("age", offer.age)
            writer.duration("keep", offer.keep)
        case .end(let grant): writer.grant(grant)
        case .quarantine(let offer):
            writer.text("client", "\(offer.client)")
            writer.time("until", offer.until)
            for (index, node) in offer.nodes.enumerated() { writer.text("node\(index)", node) }
        case .policy(let group, let serial):
            writer.text("group", group)
            writer.number("serial", serial)
        case .policyRefused(let group, let detail):
            writer.text("group", group)
            writer.text("detail", GrantRecord.cut(detail))
        case .order(let id, let text):
            writer.text("id", id)
            writer.text("text", text)
        }
    }

    /// - Parameter line: without its end.
    public init(line: some Collection<UInt8>) throws(RecordText.Fault) {
        guard let object = JSONObject(line, bytesMax: Self.bytesMax) else { throw .malformed }
        let reader = MemberReader(object: object)
        guard let kind = Kind(rawValue: try reader.text("is")) else { throw .member("is") }
        switch kind {
        case .hello:
            guard object.number("v") == RecordText.version else { throw .version }
            self = .hello(
                version: try reader.text("version"), fleet: try reader.requiredName("fleet"),
                node: try reader.requiredName("node"))
        case .store: self = .store(try reader.storeState())
        case .offer: self = .offer(try reader.grantOffer())
        case .end: self = .end(try reader.sharedGrant())
        case .quarantine: self = .quarantine(try reader.quarantineOffer())
        case .policy: self = .policy(group: try reader.requiredName("group"), serial: try reader.count("serial"))
        case .policyRefused:
            self = .policyRefused(group: try reader.requiredName("group"), detail: try reader.text("detail"))
        case .order:
            guard let text = object.text("text"), text.utf8.count <= FleetOrder.bytesMax else { throw .member("text") }
            self = .order(id: try reader.requiredName("id"), text: text)
        }
    }
}

extension MemberReader {
    fileprivate func storeState() throws(RecordText.Fault) -> StoreState {
        var state = StoreState(since: try time("since"))
        state.isConnected = flag("is-connected")
        state.isSynced = flag("is-synced")
        state.queue = try size("queue")
        state.isNameShared = flag("is-name-shared")
        state.detail = object.has("detail") ? try text("detail") : nil
        return state
    }

    fileprivate func grantOffer() throws(RecordText.Fault) -> GrantOffer {
        GrantOffer(
            grant: try sharedGrant(), node: try requiredName("node"), origin: try requiredName("origin"),
            issued: try time("issued"), age: try duration("age"), keep: try duration("keep"))
    }

    fileprivate func quarantineOffer() throws(RecordText.Fault) -> QuarantineOffer {
        var nodes: [String] = []
        while nodes.count < QuarantineOffer.nodesMax, let node = try name("node\(nodes.count)") { nodes.append(node) }
        return QuarantineOffer(client: try address("client"), until: try time("until"), nodes: nodes)
    }
}
