import Addresses

/// Rules and routes of IPv4 and IPv6 are separate in the kernel.
public enum RoutingFamily: Hashable, Sendable, CaseIterable, CustomStringConvertible {
    case ipv4, ipv6

    public init(_ address: IPAddress) { self = address.isIPv4 ? .ipv4 : .ipv6 }

    public var description: String {
        switch self {
        case .ipv4: "IPv4"
        case .ipv6: "IPv6"
        }
    }
}

/// A rule that selects a routing table by bits of the packet mark; always of the protocol `kernel`.
///
///     ip rule add pref PREFERENCE fwmark MARK/MASK lookup TABLE protocol kernel
///
/// systemd-networkd deletes rules and routes of other protocols when it starts (ManageForeignRoutingPolicyRules=,
/// ManageForeignRoutes=).
public struct RoutingRule: Hashable, Sendable, CustomStringConvertible {
    public var family: RoutingFamily
    /// The rule with the lower number is looked up first.
    public var preference: UInt32
    public var mark: UInt32
    public var mask: UInt32
    public var table: UInt32

    public init(_ family: RoutingFamily, preference: UInt32, mark: UInt32, mask: UInt32, table: UInt32) {
        self.family = family
        self.preference = preference
        self.mark = mark
        self.mask = mask
        self.table = table
    }

    init(_ family: RoutingFamily, _ selection: RoutingPlan.Selection, preference: UInt32) {
        self.init(
            family, preference: preference, mark: selection.mark, mask: selection.mark, table: selection.table)
    }

    public var description: String {
        "\(family) rule \(preference): fwmark \(Self.hex(mark))/\(Self.hex(mask)) lookup \(table)"
    }

    private static func hex(_ bits: UInt32) -> String { "0x" + String(bits, radix: 16) }
}
