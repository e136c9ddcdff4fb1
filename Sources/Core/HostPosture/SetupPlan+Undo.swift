extension SetupPlan {
    /// Undoes the recorded changes, the last first.
    public static func undo(_ facts: SetupFacts) -> Self {
        var plan = Self()
        guard !facts.record.isEmpty else {
            plan.alreadySo("nothing to undo: \(facts.root)\(SetupFiles.record) is missing, empty, or not owned by root")
            return plan
        }
        let entries = facts.record.entries.reversed()
        // By the record, whether or not the files are still there: an undo that failed is carried on.
        let dropIns = facts.record.entries.compactMap { entry -> DropInEntry? in
            guard case .file(let path, let mark) = entry, Self.isDropIn(path) else { return nil }
            return DropInEntry(path: path, mark: mark)
        }
        let stopped = plan.stop(facts, movesBack: !dropIns.isEmpty)
        plan.moveBack(dropIns, facts)
        if !stopped.isEmpty { plan.clearKernel(facts) }
        for entry in entries { plan.takeBack(entry, facts) }
        let isGateway = entries.contains { entry in
            guard case .file(SetupFiles.gatewayDropIn, let mark) = entry else { return false }
            return facts.files[SetupFiles.gatewayDropIn].map { SetupRecord.mark(of: $0) == mark } ?? true
        }
        if isGateway, !facts.isImage {
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
        // Where the kernel can hold no table it can't be asked for one either.
        if facts.host.kernel.hasNFTables != false { act(.run(facts.unload)) }
        guard let expected = facts.host.expected.gateway, expected.managesRouting else { return }
        guard let listing = facts.host.gateway?.routing else {
            return block(
                """
                the routing rules can't be read (`ip rule show` failed), so rpcwarden's can't be taken away; correct \
                that, then run `rpcwarden setup --undo` again
                """)
        }
        for command in listing.removal(of: expected.plan) { act(.run(command)) }
    }

    private struct DropInEntry {
        var path: String
        var mark: String
    }

    private mutating func moveBack(_ dropIns: [DropInEntry], _ facts: SetupFacts) {
        let present = dropIns.filter { facts.files[$0.path] != nil }
        for dropIn in present {
            let path = facts.root + dropIn.path
            if facts.files[dropIn.path].map(SetupRecord.mark(of:)) == dropIn.mark {
                act(.removeFile(path))
            } else {
                // systemd reads only names that end in .conf.
                act(.moveFile(path, to: "\(path).edited"))
                note("\(path) was edited since setup, and is kept as \(path).edited, which systemd doesn't read")
            }
        }
        guard !facts.isImage else { return }
        guard !dropIns.isEmpty else {
            if Examination(facts.host).isWithoutNetworkByUnits {
                note(
                    """
                    rpcbind has no network by files that setup didn't write: as long as they are there and rpcwarden \
                    doesn't run, nothing answers at port 111
                    """)
            }
            return
        }
        guard !present.isEmpty || !hasNetwork(facts) else { return alreadySo("rpcbind has this host's network") }
        act(.run(["systemctl", "daemon-reload"]))
        act(.run(["systemctl", "restart", "rpcbind.socket"]))
        if facts.host.unit("rpcbind.service").isActive { act(.run(["systemctl", "start", "rpcbind.service"])) }
        act(.compareRegistrations)
    }

    /// rpcbind, or systemd in its place, listens for other hosts.
    private func hasNetwork(_ facts: SetupFacts) -> Bool {
        facts.host.unit("rpcbind.socket").isActive && facts.host.rpcbindNetwork != .empty
            && !Examination(facts.host).exposed.isEmpty
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
