import Addresses
import Clock
import Configuration
import Firewall
import Policy
import Warden

@testable import Netfilter

extension FuzzTarget {
    /// Bytes received from a netlink socket, decoded by every decoder. The kernel frames contents that other
    /// parties choose: packets, names of tables and processes, comments of elements.
    static let netlink = FuzzTarget(name: "netlink", allocationFactor: 16) { bytes in
        var payloadBytes = 0
        for message in NetlinkMessages(bytes) {
            payloadBytes += message.payload.count
            checkMessage(message)
        }
        require(payloadBytes <= bytes.count, "more came out than went in")
    }

    /// An IP packet from NFLOG, truncated anywhere.
    static let packet = FuzzTarget(name: "packet", allocationFactor: 8) { bytes in
        let bytes = Array(bytes)
        guard let packet = DroppedPacket(bytes, kind: .probe) else { return }
        require(DroppedPacket(bytes + [0], kind: .probe) == packet, "what follows changes \(packet)")
        require(bytes.count >= (packet.client.isIPv4 ? 24 : 44), "\(packet) in \(bytes.count) bytes")
        require(bytes.first.map { $0 >> 4 } == (packet.client.isIPv4 ? 4 : 6), "\(packet)")
    }
}

/// Addresses that fuzzed keys hit by chance or by mutation of the corpus.
private let gateway = GatewayShape(addresses: [.v4(0), .v4(0x0a5b_0202), .v6(IPv6Bits(0))])

private func checkMessage(_ message: NetlinkMessage) {
    require(Acknowledgement(error: message).errno >= 0, "a negative errno")
    require(Acknowledgement(done: message).errno >= 0, "a negative errno")
    _ = Listener(message.payload)
    let attributes = message.netfilterAttributes
    _ = DropLog.packet(attributes)
    _ = TableMonitor.table(attributes)
    _ = TableMonitor.elementChange(attributes, isAdded: true, gateway)
    _ = TableMonitor.writer(attributes)
    _ = NetfilterTable.ourSet(attributes)
    let entry = FlowEntry(message, gateway)
    for (begunThere, isCallback) in [(false, false), (true, false), (false, true), (true, true)] {
        let flow = entry?.flow(begunThere: begunThere, isCallback: isCallback) { $0.port == 2049 }
        if let flow { require(!flow.id.isEmpty, "\(flow)") }
    }
    for attribute in attributes {
        for element in attribute.nested { checkElement(ElementAttributes(element.nested, countingsPerPacket: 2)) }
    }
}

private func checkElement(_ element: ElementAttributes) {
    var contents = TableContents()
    for set in TableSet.allCases {
        switch element.key(in: set, gateway) {
        case .granted(let key): contents.granted.append(element.grant(key, setTimeout: .seconds(86_400)))
        case .remembered(let key): contents.remembered.append(element.grant(key, setTimeout: .seconds(86_400)))
        case .quarantined(let client): contents.quarantined[client] = element.lifetime
        case .guarded(let service): contents.guarded.insert(service)
        case .standing(let key): contents.standing.insert(key)
        case .callers(let key): contents.callers.insert(key)
        case .shielded, nil: break
        }
    }
    require(contents.granted.allSatisfy { $0.timeout >= $0.expiresIn }, "\(contents.granted)")
    checkAdoption(contents)
}

/// The contents of the table at a daemon's start.
private func checkAdoption(_ contents: TableContents) {
    var warden = Warden(settings: Settings(), policy: Policy(), names: ProgramNames(), trustedOwners: [])
    var actions: [Action] = []
    var now = Instant(nanoseconds: 1_000_000_000_000)
    warden.wallClockRead(Timestamp(milliseconds: 1_700_000_000_000), at: now)
    warden.tableFound(contents, at: now)
    for _ in 0..<2 {
        warden.timeAdvanced(to: now, into: &actions)
        now = now + .seconds(86_400)
    }
    for element in contents.granted { _ = (warden.wallClock(at: now) + element.expiresIn).description }
}
