import Clock

/// The limits and times of a node of a fleet.
public enum FleetLimits {
    // Publishing.
    /// A grant that wasn't used yet is published after this time.
    public static let publishDelay = Duration.seconds(5)
    /// More of them than these are a storm, as after a boot: the first are published as soon as the store takes them.
    public static let unusedMax = 1024
    public static let flushDelay = Duration.milliseconds(100)
    /// etcd's own limit of a transaction.
    public static let operationsMax = 128
    public static let queueMax = 20_000
    /// `used` is published anew when the published one is older than `keep` by this divisor.
    public static let refreshDivisor = 4
    public static let ownGrantsMax = 131_072
    public static let endedMax = 65_536
    /// Keys of this node that the store tells; more are somebody else's doing.
    public static let ownKeysMax = ownGrantsMax + endedMax + quarantinesOfNodeMax
    /// Of grants and copies together, as a daemon tells them.
    public static let liveMax = 2 * ownGrantsMax

    // Clocks.
    /// What was ended here isn't forgotten before the clock has gone so long without being set: after a boot it may be wrong.
    public static let clockSteadyAfter = Duration.seconds(3600)

    // Importing.
    public static let batchMax = 4096
    /// What other nodes say about grants: of `pair.grants`, so many times as much. A pair's nodes have one record each.
    public static let foreignRecordsFactor = 8
    /// At most 10 batches a second.
    public static let batchInterval = Duration.milliseconds(100)
    public static let pageMax = 2000
    /// A copy is thought to be gone this much later than its time is over.
    public static let copyMargin = Duration.seconds(60)
    /// Of the nodes that have a say about one grant, or one client.
    public static let writersMax = 64

    // The store.
    public static let backOffFirst = Duration.milliseconds(250)
    public static let backOffMax = Duration.seconds(30)
    /// A watch that lasts for this time lets the back-off begin anew.
    public static let steadyAfter = Duration.seconds(30)
    public static let reconcileInterval = Duration.seconds(600)
    /// Of the interval, either way.
    public static let reconcileSpreadPercent: Int64 = 20
    public static let statusLease = Duration.seconds(30)
    public static let keepAliveInterval = Duration.seconds(10)
    /// The lease of grants outlives the longest of them.
    public static let leaseMargin = Duration.seconds(3600)

    // Quarantines.
    public static let quarantinesOfNodeMax = 512
    public static let quarantinesMax = 4096
    public static let pruneInterval = Duration.seconds(1)
    /// What was released here isn't taken over again for this time.
    public static let releaseHolds = Duration.seconds(3600)

    // Policy.
    /// What is read again because it could not be read or stored, such as a policy.
    public static let retryInterval = Duration.seconds(30)
    /// The same, if another one was announced meanwhile.
    public static let nextPolicyDelay = Duration.seconds(1)

    /// How often the shell must tell the time.
    public static let tick = Duration.milliseconds(50)
}
