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
        guard followed.count < FleetOrder.countMax else { return .isBeyondLimit }
        followed[order.id] = Followed(created: order.created, client: order.action == .revoke ? order.client : nil)
        return .follow
    }

    func hasFollowed(_ id: String) -> Bool { followed[id] != nil }

    /// The clients whose older grants were ended, with the times of the orders.
    var revocations: [(client: IPAddress, created: Timestamp)] {
        followed.values.compactMap { order in order.client.map { ($0, order.created) } }
    }

    /// Older ones are refused by their age.
    private mutating func prune(at now: Timestamp) {
        followed = followed.filter { $0.value.created + FleetOrder.ageMax >= now }
    }

    /// `order ID MILLISECONDS [CLIENT]`, a line each.
    var lines: [String] {
        followed.sorted { $0.key < $1.key }.map { id, order in
            "order \(id) \(order.created.milliseconds)" + (order.client.map { " \($0)" } ?? "")
        }
    }

    mutating func found(_ line: some StringProtocol) {
        let words = line.split(separator: " ")
        guard (3...4).contains(words.count), words[0] == "order", PolicyBundle.isName(String(words[1])),
            let time = Int64(words[2]), GrantRecord.times.contains(time), followed.count < FleetOrder.countMax
        else { return }
        let client = words.count == 4 ? IPAddress(words[3]) : nil
        guard words.count == 3 || client != nil else { return }
        followed[String(words[1])] = Followed(created: Timestamp(milliseconds: time), client: client)
    }
}
