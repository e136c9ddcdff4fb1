import Addresses
import Configuration
import Firewall

/// A request of the network-facing process to the netfilter process, which alone may change the firewall.
public enum NetfilterCall: Hashable, Sendable {
    /// Asks for a transaction; the netfilter process refuses operations that its ``Ceiling`` doesn't permit.
    case commit(Transaction)
    case contents
    /// The guarded ports alone.
    case guarded
    case lifetimes([GrantKey])
    case uses([GrantKey])
    /// End the flows of these clients to each service.
    case cut([ServicePort: Set<AddressRange>])
    /// Asks for the events since the last time.
    case events
    /// Asks how many packets the table has dropped.
    case drops
    /// Reads configuration and policy anew, from the files; `events` reports the end, and other calls are
    /// answered until then.
    case reload
    /// Judges by the files that were read last, from now on.
    case enforce
}

extension NetfilterCall {
    /// Requests to end these flows, each with no more services than a message may have.
    public static func cuts(
        _ cuts: [ServicePort: Set<AddressRange>], servicesMax: Int = MessageLimits.cutServicesMax
    ) -> [NetfilterCall] {
        guard cuts.count > servicesMax else { return [.cut(cuts)] }
        let services = Array(cuts.keys)
        return stride(from: 0, to: services.count, by: servicesMax).map { start in
            let part = Set(services[start...].prefix(servicesMax))
            return .cut(cuts.filter { part.contains($0.key) })
        }
    }
}

/// The answer to a ``NetfilterCall``, except `ready`, which comes first and without a call.
public enum NetfilterReply: Hashable, Sendable {
    case ready(KernelFeatures)
    /// `nil`: all of it was done.
    case committed(CommitFailure?)
    /// `nil`: there is no table.
    case contents(TableContents?)
    /// `nil`: there is no table.
    case guarded(Set<ServicePort>?)
    case lifetimes([GrantKey: Duration])
    case uses([GrantKey: GrantUse])
    case cut(Int)
    case events(NetfilterEvents)
    case drops(DropCounts)
    case reloading
    case enforced
    /// The reason for which the request failed.
    case failed(String)
}

public struct NetfilterEvents: Hashable, Sendable {
    /// A revoked grant came back, and stays.
    public var unsettled: CommitFailure?
    public var changes: [TableChange] = []
    public var packets: [DroppedPacket] = []
    /// What others did to the rules and routes of this gateway.
    public var routing = RoutingRepair()
    /// What the files held, if a reading that `reload` asked for has ended since the last time. The netfilter process
    /// has judged these very bytes: with an error in them there is nothing to `enforce`.
    public var reading: FilesRead?

    public init(
        unsettled: CommitFailure? = nil, changes: [TableChange] = [], packets: [DroppedPacket] = [],
        routing: RoutingRepair = RoutingRepair(), reading: FilesRead? = nil
    ) {
        self.unsettled = unsettled
        self.reading = reading
        self.changes = changes
        self.packets = packets
        self.routing = routing
    }
}
