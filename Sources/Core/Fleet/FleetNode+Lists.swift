import Addresses
import FleetRecords

/// One line of `rpcwarden-fleet grants`.
public struct FleetGrantRow: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
        /// Issued here.
        case own
        /// Another node's, which the daemon was offered.
        case copy
        /// Another node's, which the daemon was not offered: there are too many, or it has ended.
        case foreign
    }

    public var grant: SharedGrant
    /// The node in whose subtree it is.
    public var node: String
    public var state: State
    public var record: GrantRecord
    public var isEnded: Bool
}

/// One line of `rpcwarden-fleet quarantines`.
public struct FleetQuarantineRow: Hashable, Sendable {
    public var client: IPAddress
    public var node: String
    public var record: QuarantineRecord
    /// Told by this node, or by enough others that this node's daemon was offered it.
    public var isInForce: Bool
}

// MARK: For people

extension FleetNode {
    /// Every grant that is known, in an order that ``grantRows(of:)`` can be asked by.
    public var knownGrants: [SharedGrant] { Set(own.grants.keys).union(grants.grants).sorted() }

    public func grantRows(of grant: SharedGrant) -> [FleetGrantRow] {
        var rows: [FleetGrantRow] = []
        if let record = own.grants[grant] {
            rows.append(
                FleetGrantRow(
                    grant: grant, node: settings.node, state: record.origin == nil ? .own : .copy, record: record,
                    isEnded: false))
        }
        guard let entry = grants.entry(of: grant) else { return rows }
        for (node, source) in entry.sources.sorted(by: { $0.key < $1.key }) {
            let isCopy = entry.copy == source.copy
            rows.append(
                FleetGrantRow(
                    grant: grant, node: node, state: isCopy ? .copy : .foreign, record: source.raw,
                    isEnded: entry.isBeaten(source.copy)))
        }
        return rows
    }

    public var quarantineRows: [FleetQuarantineRow] {
        let here = own.quarantines.sorted { $0.key < $1.key }.map { client, record in
            FleetQuarantineRow(client: client, node: settings.node, record: record, isInForce: true)
        }
        return here
            + quarantines.all.flatMap { client, said, isOffered in
                said.sorted { $0.key < $1.key }.map {
                    FleetQuarantineRow(client: client, node: $0.key, record: $0.value, isInForce: isOffered)
                }
            }
    }
}
