import Addresses
import Clock

/// What an administrator wants of every node of a fleet, about one client: signed as a policy is.
///
/// Its container is text, so that a person can read what was signed:
///
///     rpcwarden-order 1
///     fleet lab
///     id 20261130T172500Z-5f3a
///     created 2026-11-30T17:25:00Z
///     revoke 192.0.2.7
///     end
///
/// Each order has one container.
public struct FleetOrder: Hashable, Sendable {
    public enum Action: String, Hashable, Sendable, CaseIterable {
        /// Ends the client's grants, and the copies of others' grants.
        case revoke
        /// Lifts the client's quarantine.
        case release
    }

    public var fleet: String
    /// A part of its key in the store.
    public var id: String
    public var created: Timestamp
    public var action: Action
    public var client: IPAddress

    public init(fleet: String, id: String, created: Timestamp, action: Action, client: IPAddress) {
        self.fleet = fleet
        self.id = id
        self.created = created.wholeSeconds
        self.action = action
        self.client = client
    }

    public static let version = "rpcwarden-order 1"
    /// With its signature.
    public static let bytesMax = 2048
    /// Of a fleet at once; an administrator doesn't give so many a day.
    public static let countMax = 1024
    /// An order is for now: whoever has an old one can't give it again.
    public static let ageMax = Duration.seconds(86_400)
    /// How far a publisher's clock may be ahead.
    public static let futureMax = Duration.seconds(60)

    /// The bytes that are signed.
    public var container: [UInt8] {
        let lines = [
            Self.version, "fleet \(fleet)", "id \(id)", "created \(created)", "\(action.rawValue) \(client)", "end",
        ]
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    /// Reads a container; one that ``container`` would have written otherwise is `nil`.
    public init?(container bytes: ArraySlice<UInt8>) {
        guard bytes.count <= Self.bytesMax else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        func value(_ index: Int, _ key: String) -> String? {
            lines[index].hasPrefix(key + " ") ? String(lines[index].dropFirst(key.count + 1)) : nil
        }
        guard lines.count == 7, let fleet = value(1, "fleet"), PolicyBundle.isName(fleet), let id = value(2, "id"),
            PolicyBundle.isName(id), let created = value(3, "created").flatMap({ Timestamp($0) })
        else { return nil }
        for action in Action.allCases {
            guard let client = value(4, action.rawValue).flatMap({ IPAddress($0) }) else { continue }
            self.init(fleet: fleet, id: id, created: created, action: action, client: client)
            guard bytes.elementsEqual(container) else { return nil }
            return
        }
        return nil
    }

    /// The publisher's clock is ahead of this one, or was.
    public func isAhead(of now: Timestamp) -> Bool { now + Self.futureMax < created }

    /// Why a node may not follow it now, or `nil`.
    public func refusal(inFleet fleet: String, at now: Timestamp) -> String? {
        if self.fleet != fleet { return "it is for fleet \"\(self.fleet)\", and this node is of \"\(fleet)\"" }
        if created + Self.ageMax < now { return "it is of \(created), and orders count for 24 h" }
        if isAhead(of: now) { return "it is of \(created), which is ahead of this node's clock" }
        return nil
    }
}
