import Configuration
import Glibc

/// The limit of descriptors that this process may open.
enum DescriptorLimit {
    /// Raises the soft limit to the hard one. This is safe, since nothing here uses select(2).
    static func raise() -> Int {
        var limit = current()
        guard limit.rlim_cur < limit.rlim_max else { return Int(clamping: limit.rlim_cur) }
        limit.rlim_cur = limit.rlim_max
        // If a system-call filter forbids it, the soft limit stays.
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return Int(clamping: current().rlim_cur)
        }
        return Int(clamping: limit.rlim_cur)
    }

    private static func current() -> rlimit {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit
    }
}

extension Settings {
    /// The settings, with the connection limits reduced to the available descriptors.
    func fittedToDescriptors() -> Settings {
        var settings = self
        let count = DescriptorLimit.raise()
        settings.limits = limits(fittedToDescriptors: count)
        if settings.limits != limits {
            writeError(
                "rpcwarden: limits.tcp-connections: \(limits.tcpConnections) needs \(descriptorsNeeded)"
                    + " descriptors, but the process may open \(count); limited to"
                    + " \(settings.limits.tcpConnections) connections; raise LimitNOFILE= or ulimit -n")
        }
        return settings
    }
}
