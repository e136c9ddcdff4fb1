extension SetupPlan {
    /// Undoes the recorded changes, the last first.
    public static func undo(_ facts: SetupFacts) -> Self {
        var plan = Self()
        guard !facts.record.isEmpty else {
            plan.alreadySo("nothing to undo: \(facts.root)\(SetupFiles.record) is missing, empty, or not owned by root")
            return plan
        }
        let entries = facts.record.entries.reversed()
        let movesBack = entries.contains { entry in
            if case .file(let path, _) = entry { Self.isDropIn(path) && facts.files[path] != nil } else { false }
        }
        let stopped = plan.stop(facts, movesBack: movesBack)
        if movesBack { plan.moveBack(facts) }
        if movesBack || (!stopped.isEmpty && facts.host.expected.gateway != nil) { plan.clearKernel(facts) }
        for entry in entries { plan.takeBack(entry, facts) }
        if plan.actions.contains(.removeFile(facts.root + SetupFiles.gatewayDropIn)), !facts.isImage {
            plan.act(.run(["systemctl", "daemon-reload"]))
            plan.restartActiveUnits(facts, except: stopped)
        }
        if entries.contains(where: isPin) { plan.tellOfUnpinned(facts) }
        plan.forget(facts)
        return plan
    }

    mutating func forget(_ facts: SetupFacts) {
        act(.removeFile(facts.root + SetupFiles.record))
        let recordFolder = SetupRecord.Entry.folder(SetupFiles.recordFolder)
        if facts.record.entries.contains(recordFolder) {
            act(.removeFolder(facts.root + SetupFiles.recordFolder))
        }
    }

    /// - Returns: the units that don't run any more.
    private mutating func stop(_ facts: SetupFacts, movesBack: Bool) -> [String] {
        // Entries that setup never writes are ignored.
        let enabled = facts.record.entries.compactMap { entry -> String? in
            if case .enabled(let unit) = entry, SetupFiles.units.contains(unit) { unit } else { nil }
        }
        if facts.isImage {
            if !enabled.isEmpty { act(.run(["systemctl", "--root=\(facts.root)", "disable"] + enabled)) }
            return []
        }
        // rpcbind can bind port 111 again only if no other process holds it.
        let stopped = movesBack ? SetupFiles.units : enabled
        if !stopped.isEmpty { act(.run(["systemctl", "stop"] + stopped)) }
        if !enabled.isEmpty { act(.run(["systemctl", "disable"] + enabled)) }
        let left = SetupFiles.units.filter { facts.host.unit($0).isEnabled && !enabled.contains($0) }
        if movesBack, !left.isEmpty {
            note(
                "\(left.joined(separator: ", ")) were enabled before setup, and stay enabled: at the next boot they bind port 111"
            )
        }
        return stopped
    }

    /// Guard, rules and routes outlive a stopped daemon, and no daemon would open a port any more.
    private mutating func clearKernel(_ facts: SetupFacts) {
        if facts.hasTable { act(.run(["nft", "delete", "table", "inet", facts.host.expected.table])) }
        guard let expected = facts.host.expected.gateway, expected.managesRouting,
            let listing = facts.host.gateway?.routing
        else { return }
        for command in listing.removal(of: expected.plan) { act(.run(command)) }
    }

    private mutating func moveBack(_ facts: SetupFacts) {
        for entry in facts.record.entries {
            guard case .file(let path, _) = entry, Self.isDropIn(path) else { continue }
            act(.removeFile(facts.root + path))
        }
        if !facts.isImage {
            act(.run(["systemctl", "daemon-reload"]))
            act(.run(["systemctl", "restart", "rpcbind.socket"]))
            if facts.host.unit("rpcbind.service").isActive { act(.run(["systemctl", "start", "rpcbind.service"])) }
            act(.compareRegistrations)
        }
    }

    private static func isDropIn(_ path: String) -> Bool { SetupFiles.dropIns.contains(path) }

    mutating func takeBack(_ entry: SetupRecord.Entry, _ facts: SetupFacts) {
        switch entry {
        case .folder(SetupFiles.recordFolder), .enabled: return
        case .file(let path, _) where Self.isDropIn(path): return
        case .folder(let path):
            if facts.folders.contains(path) { act(.removeFolder(facts.root + path)) }
        case .file(let path, let mark):
            guard let bytes = facts.files[path] else { return }
            if SetupRecord.mark(of: bytes) == mark {
                act(.removeFile(facts.root + path))
            } else {
                alreadySo("\(facts.root)\(path) was edited since setup, and is kept")
            }
        case .lines(let path): takeBackLines(path, facts)
        case .user(let name):
            guard facts.hasUser, name == SetupFiles.user else { return }
            act(.run(["userdel"] + (facts.isImage ? ["--prefix", facts.root] : []) + [name]))
        }
    }
}
