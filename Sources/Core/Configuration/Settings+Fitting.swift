import Firewall

extension Settings {
    /// These settings, with the ones that may change while the daemon runs taken from `fresh`.
    public func changedLive(to fresh: Settings) -> Settings {
        var settings = self
        settings.mode = fresh.mode
        settings.firewall = fresh.firewall
        // The table of this name holds everything; the name stays for a daemon's life.
        settings.firewall.table = firewall.table
        // The socket stays bound to its group.
        settings.firewall.logGroup = firewall.logGroup
        settings.denial = fresh.denial
        settings.limits = fresh.limits
        settings.limits.recordBytes = limits.recordBytes
        settings.limits.owedBytes = limits.owedBytes
        settings.quarantine = fresh.quarantine
        settings.policyPath = fresh.policyPath
        // The socket, and what the sidecar is told by it, stay for a daemon's life.
        settings.fleet = fresh.fleet == nil && fleet?.isLinked != true ? nil : fleet ?? Fleet()
        settings.fleet?.policy = fresh.fleet?.policy
        // Used by commands alone.
        settings.fleet?.controlPath = fresh.fleet?.controlPath ?? Fleet().controlPath
        settings.audit.permitted = fresh.audit.permitted
        settings.audit.host = fresh.audit.host
        return settings
    }

    /// These settings without features that this kernel lacks.
    public func fitted(to features: KernelFeatures) -> Settings {
        var settings = self
        if !features.logsDrops { settings.firewall.logGroup = 0 }
        settings.firewall.ownsTable = settings.firewall.ownsTable && features.ownsTables
        return settings
    }
}
