import AuditTrail
import Clock
import Configuration
import Firewall

extension Gate {
    /// Another process changed nftables. Changes to our table are undone: it is made anew, with every live grant.
    /// - Returns: the event, if a change concerns our table.
    public mutating func tableChanged(_ changes: [TableChange], at now: Instant) -> AuditEvent? {
        let describe = Self.describe(in: settings.firewall)
        // A deleted table announces thousands of elements first, which must not hide the deletion.
        let foreign =
            changes.filter { !$0.isOfAnElement }.compactMap(describe)
            + changes.filter(\.isOfAnElement).compactMap(describe)
        guard !foreign.isEmpty else { return nil }
        isTamperedWith = true
        writer.invalidate(at: now)
        var event = AuditEvent(
            .tampered, detail: Self.distinct(foreign).prefix(Self.changesShownMax).joined(separator: "; "))
        event.count = foreign.count
        return event
    }

    private static func distinct(_ texts: [String]) -> [String] {
        var seen: Set<String> = []
        return texts.filter { seen.insert($0).inserted }
    }

    /// The log would cut a longer list anyway.
    private static let changesShownMax = 8

    /// The change to our table, in words; `nil` for our own change, another table's, and one that `manage: sets`
    /// permits.
    private static func describe(in settings: Settings.Firewall) -> (TableChange) -> String? {
        { change in
            guard case .changed(let change) = change else { return "more changes than could be followed" }
            guard change.table == settings.table, !change.isOwn else { return nil }
            let who = change.writer.map { " by \($0.name) (pid \($0.processID))" } ?? ""
            switch change.what {
            case .tableMade, .definition:
                // `manage: sets` invites the administrator's own chains and rules.
                return settings.management == .sets ? nil : "definitions changed" + who
            case .tableDeleted: return "table deleted" + who
            case .elementAdded(let element): return "\(element?.description ?? "an element") added" + who
            case .elementDeleted(let element): return "\(element?.description ?? "an element") deleted" + who
            }
        }
    }
}

extension TableChange {
    fileprivate var isOfAnElement: Bool {
        guard case .changed(let change) = self else { return false }
        switch change.what {
        case .elementAdded, .elementDeleted: return true
        case .tableMade, .tableDeleted, .definition: return false
        }
    }
}
