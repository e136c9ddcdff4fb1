import Addresses
import Policy
import Testing

func address(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

func range(_ first: String, _ last: String) -> AddressRange { AddressRange(address(first), address(last)) }

/// A term from `10.0.0.0/8`, an address, or a host name.
func term(_ text: String) -> ClientTerm {
    let parts = text.split(separator: "/")
    guard let address = IPAddress(parts[0]) else { return .host(text) }
    guard parts.count == 2 else { return .prefix(Prefix(address)) }
    guard let length = Int(parts[1]), let prefix = Prefix(address, length: length) else {
        preconditionFailure("\(text) is no prefix")
    }
    return .prefix(prefix)
}

func rule(
    from: [String], except: [String] = [], to: Set<Program> = [.nfs], over: Set<Transport> = [.tcp, .udp],
    lists: Bool = false, open: Opening = .onLookup
) -> Rule {
    Rule(
        name: from.joined(separator: " "), location: Location(file: "policy.yaml", line: 1, column: 1),
        from: from.map(term), except: except.map(term), to: to, over: over, lists: lists, open: open)
}
