import Firewall
import Netfilter

/// Keeps the rules and routes of a gateway in the kernel as the plan says.
///
/// Its sockets are made at the start, since the netfilter process can make none later. The kernel tells of changes
/// only while a plan is in force: a router may have very many routes.
/// ```
/// idle ──a plan──▶ kept ──changed by another, or refused by the kernel──▶ restored at the next look
///   ◀──no plan, or the table is deleted on purpose──┘
/// ```
final class RoutingKeeper {
    /// Rules and routes that the kernel refused.
    struct Failure: Error, Hashable, CustomStringConvertible {
        var description: String
    }

    private let tables: RoutingTables
    /// The rules and routes that the kernel shall have; `nil`: ours are removed, and others' left alone.
    private(set) var plan: RoutingPlan?
    /// Why the plan isn't in the kernel; each look tries anew.
    private var failure: String?
    /// Whether the guard was taken away on purpose.
    private var isTableDeleted = false

    init() throws(NetfilterError) { tables = try RoutingTables(isFollowing: false) }

    /// The configuration asks for these rules and routes. After an error those of before are in force.
    func planChanged(to next: RoutingPlan?) throws(Failure) {
        guard !isTableDeleted else { return }
        try putInForce(next)
    }

    /// The rules and routes go with a table that is deleted on purpose, and come back with it.
    ///
    /// Without routes, calls to servers that are still intercepted are dropped.
    func committed(_ transaction: Transaction, _ configured: RoutingPlan?) {
        guard let hasTable = transaction.leavesTable else { return }
        isTableDeleted = !hasTable
        let next = hasTable ? configured : nil
        do throws(Failure) {
            try putInForce(next)
        } catch {
            writeError("rpcwarden: \(error)")
            // A plan that fails is tried again at each look.
            plan = next
            failure = next.map { _ in "\(error)" }
        }
    }

    private func putInForce(_ next: RoutingPlan?) throws(Failure) {
        guard next != plan else { return }
        do throws(NetfilterError) {
            try tables.follow(next != nil)
            // What both plans have stays where it is.
            if let plan, next?.hasSelections(of: plan) != true { try tables.remove(plan) }
            if let next { try tables.install(next) }
            plan = next
            failure = nil
        } catch {
            returnToPlan(from: next)
            throw Failure(description: "gateway: \(error); \(Self.remedy)")
        }
    }

    /// Undoes what others changed since the last look. Costs one system call if the kernel told of nothing.
    func look() -> RoutingRepair {
        guard let plan else { return RoutingRepair() }
        let isChanged = tables.readEvents(of: plan)
        guard isChanged || failure != nil else { return RoutingRepair() }
        do throws(NetfilterError) {
            let undone = try tables.install(plan)
            failure = nil
            return RoutingRepair(undone)
        } catch {
            let text = "routing: \(error); \(Self.remedy)"
            defer { failure = text }
            return RoutingRepair(failure: text == failure ? nil : text)
        }
    }

    /// Undoes what was done for another plan.
    private func returnToPlan(from next: RoutingPlan?) {
        do throws(NetfilterError) {
            if let next, plan?.hasSelections(of: next) != true { try tables.remove(next) }
            try tables.follow(plan != nil)
            if let plan { try tables.install(plan) }
        } catch {
            // The next look tries anew.
            failure = "\(error)"
        }
    }

    private static let remedy =
        "where IPv6 is turned off (net.ipv6.conf.lo.disable_ipv6), name no IPv6 addresses of servers, or make rules and"
        + " routes yourself, with routing: check"
}

extension RoutingPlan {
    /// Whether both plans have the same marks and tables.
    fileprivate func hasSelections(of other: RoutingPlan) -> Bool {
        toServers == other.toServers && toClients == other.toClients
    }
}

extension Transaction {
    /// Whether the table exists after the transaction; `nil`: the transaction neither makes nor deletes it.
    var leavesTable: Bool? {
        operations.reduce(nil) { before, operation in
            if case .deleteTable = operation { false } else { operation.madeTable == nil ? before : true }
        }
    }
}
