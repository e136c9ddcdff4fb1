import Addresses
import AuditTrail
import Calls
import Clock
import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// A stranger called, or connected.
    mutating func noteStranger(over transport: Transport, at now: Instant, into actions: inout [Action]) {
        let limit = settings.limits.strangersPerSecond
        guard limit > 0, settings.denial.strangers == .silence, settings.mode == .enforce,
            settings.firewall.management == .guardPorts,
            let end = shield.add(transport, limit: limit, at: now)
        else { return }
        // The same transaction lets the clients through that may ask.
        var elements = elements()
        if registry == nil { elements.standing = keptStanding.union(admitted) }
        writer.desire(elements)
        writer.shield(transport, until: end)
        var event = AuditEvent(.shielded)
        event.transport = transport
        event.count = limit
        event.window = StrangerShield.duration
        event.detail = "more than \(limit) strangers a second (limits.strangers-per-second); the kernel drops them"
        audit(event, at: now, into: &actions)
        flush(at: now, into: &actions)
    }

    /// The clients that the kernel lets through to the portmapper while it drops strangers.
    var admitted: [StandingKey] {
        shield.transports.flatMap { transport in
            policy.named.map { StandingKey(clients: $0, service: ServicePort(transport, Self.portmapperPort)) }
        }
    }

    /// The standing elements of an earlier run, except at port 111, where the policy decides anew.
    var keptStanding: Set<StandingKey> {
        writer.desiredStanding.filter { $0.service.port != Self.portmapperPort }
    }

    static let portmapperPort: UInt16 = 111

    /// The kernel dropped a stranger's packet; it reports a sample of such packets.
    mutating func strangerDropped(_ packet: DroppedPacket, at now: Instant, into actions: inout [Action]) {
        shield.noteTold()
        let peer = Peer(
            address: packet.client, port: packet.clientPort, transport: packet.service.transport,
            asked: UniversalAddress(
                host: packet.client.isIPv4 ? .v4(0) : .v6(0), port: packet.service.port), channel: 0)
        guard packet.service.transport == .udp else {
            var event = event(.denied, nil, peer, 0)
            event.xid = nil
            event.reason = .stranger
            event.detail = Self.droppedByKernel
            return audit(event, at: now, into: &actions)
        }
        let incoming = packet.payload.withUnsafeBytes { IncomingCall(decoding: $0, from: peer) }
        // The packet is counted with the others that the kernel dropped.
        auditDenial(
            incoming, .stranger, detail: Self.droppedByKernel, isEnforced: true, isCounted: false, at: now,
            into: &actions)
    }

    private static let droppedByKernel = "dropped by the kernel"

    /// Whether the shield is up, so that the dropped packets must be counted by ``strangersDropped(total:at:)``.
    public func isShielded(at now: Instant) -> Bool { shield.isUp(at: now) }

    /// The kernel's counter of dropped strangers was read.
    public mutating func strangersDropped(total: UInt64, at now: Instant) {
        let (all, untold) = shield.dropped(total: total)
        counters.denied[.stranger, default: 0] += all
        counters.suppressed += untold
        auditLimiter.swallow(.denied, untold, at: now)
    }
}
