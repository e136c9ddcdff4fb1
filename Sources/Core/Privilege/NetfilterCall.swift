import Addresses
import Firewall

/// All that the network-facing process can ask of the netfilter process, which alone may change the firewall.
public enum NetfilterCall: Hashable, Sendable {
    /// The netfilter process refuses what its ``Ceiling`` doesn't permit.
    case commit(Transaction)
    case contents
    case lifetimes([GrantKey])
    case uses([GrantKey])
    /// End the flows of these clients to the service.
    case cut(Set<AddressRange>, ServicePort)
    /// What happened since the last time.
    case events
    /// How many packets the table has dropped.
    case drops
    /// Read configuration and policy anew, from the files; `events` tells of the end, and other calls are answered
    /// until then.
    case reload
    /// Judge by what was read last, from now on.
    case enforce
}

/// The answer to a ``NetfilterCall``, but for `ready`, which comes first and unasked.
public enum NetfilterReply: Hashable, Sendable {
    case ready(KernelFeatures)
    /// `nil`: all of it was done.
    case committed(CommitFailure?)
    /// `nil`: there is no table.
    case contents(TableContents?)
    case lifetimes([GrantKey: Duration])
    case uses([GrantKey: GrantUse])
    case cut(Int)
    case events(NetfilterEvents)
    case drops(DropCounts)
    case reloading
    case enforced
    /// What was asked could not be done, and why.
    case failed(String)
}

/// The result of re-reading the files.
public enum FileReading: Hashable, Sendable {
    /// The fingerprint of what was found.
    case done(UInt64)
    case refused(String)
}

public struct NetfilterEvents: Hashable, Sendable {
    /// A revoked grant came back, and stays.
    public var unsettled: CommitFailure?
    public var changes: [TableChange] = []
    public var packets: [DroppedPacket] = []
    /// What was asked for by `reload` has ended, since the last time.
    public var reading: FileReading?

    public init(
        unsettled: CommitFailure? = nil, changes: [TableChange] = [], packets: [DroppedPacket] = [],
        reading: FileReading? = nil
    ) {
        self.unsettled = unsettled
        self.reading = reading
        self.changes = changes
        self.packets = packets
    }
}
