import Addresses
import Bundles
import Clock
import FleetRecords

/// The orders that this node has followed: each is followed once, also across restarts. Pure.
struct FollowedOrders: Hashable {
    private struct Followed: Hashable {
        var created: Timestamp
        /// Whose grants it ended; `nil`: it was another order.
        var client: IPAddress?

        /// It isn't followed again.
        func isOld(at now: Timestamp) -> Bool { created + FleetOrder.ageMax < now }
    }

    private var followed: [String: Followed] = [:]

    enum Answer: Hashable {
        case follow
        /// It was followed.
        case isKnown
        /// So many were followed today that this one can't be remembered.
        case isBeyondLimit
    }

    mutating func take(_ order: FleetOrder, at now: Timestamp) -> Answer {
        prune(at: now)
        guard followed[order.id] == nil else { return .isKnown }
        guard followed.values.count(where: { !$0.isOld(at: now) }) < FleetOrder.countMax else { return .isBeyondLimit }
        makeRoom()
        followed[order.id] = Followed(created: order.created, client: order.action == .revoke ? order.client : nil)
        return .follow
    }

    func hasFollowed(_ id: String) -> Bool { followed[id] != nil }

    /// The clients whose older grants were ended, with the times of the orders.
    var revocations: [(client: IPAddress, created: Timestamp)] {
        followed.values.compactMap { order in order.client.map { ($0, order.created) } }
    }

    /// Older ones are refused by their age. A revocation counts on: a node that was away may offer what it ended.
    private mutating func prune(at now: Timestamp) {
        followed = followed.filter { _, order in
            order.client == nil ? !order.isOld(at: now) : order.created + EndedRecord.revocationHolds >= now
        }
    }

    private mutating func makeRoom() {
        guard followed.count >= Self.countMax,
            let oldest = followed.min(by: { ($0.value.created, $0.key) < ($1.value.created, $1.key) })
        else { return }
        followed[oldest.key] = nil
    }

    /// Of a day, and those before it.
    private static let countMax = 2 * FleetOrder.countMax

    /// `order ID MILLISECONDS [CLIENT]`, a line each.
    var lines: [String] {
        followed.sorted { $0.key < $1.key }.map { id, order in
            "order \(id) \(order.created.milliseconds)" + (order.client.map { " \($0)" } ?? "")
        }
    }

    mutating func found(_ line: some StringProtocol) {
        let words = line.split(separator: " ")
        guard (3...4).contains(words.count), words[0] == "order", PolicyBundle.isName(String(words[1])),
            let time = Int64(words[2]), GrantRecord.times.contains(time), followed.count < Self.countMax
        else { return }
        let client = words.count == 4 ? IPAddress(words[3]) : nil
        guard words.count == 3 || client != nil else { return }
        followed[String(words[1])] = Followed(created: Timestamp(milliseconds: time), client: client)
    }
}
