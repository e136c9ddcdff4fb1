import Addresses
import Calls
import Policy
import Portmapper

func address(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

func prefix(_ bits: UInt32, _ length: Int) -> ClientTerm {
    guard let prefix = Prefix(.v4(bits), length: length) else { preconditionFailure("no prefix") }
    return .prefix(prefix)
}

/// The clients are in 10.0.0.0/9, in prefixes spread over the rules; strangers are in 192.0.2.0/24 and
/// 198.18.0.0/15.
func policy(rules: Int, prefixes: Int) -> Policy {
    let all = (0..<prefixes).map { prefix(0x0a00_0000 + UInt32($0) << 6, 27) }
    return Policy(
        rules: (0..<rules).map { number in
            Rule(
                name: "rule \(number)", location: Location(file: "policy.yaml", line: 4 * number + 1, column: 5),
                from: stride(from: number, to: prefixes, by: rules).map { all[$0] },
                to: Set((0...1 + number % 7).map { Program(100_003 + 2 * UInt32($0)) }), lists: true)
        })
}

func peer(_ address: IPAddress, _ transport: Transport = .udp, port: UInt16 = 700) -> Peer {
    Peer(
        address: address, port: port, transport: transport,
        asked: UniversalAddress(host: .v4(0x0a4d_0101), port: 111), channel: 1, interface: 2)
}

/// `count` programs, each over four netids at its own port, as rpcbind lists them.
func registrations(_ count: Int) -> [RPCB] {
    (0..<count).flatMap { index in
        [NetID.tcp, .udp, .tcp6, .udp6].map { netID in
            RPCB(
                program: Program(100_003 + 2 * UInt32(index)), version: 3, netID: netID.rawValue,
                address: (netID.isIPv4 ? "0.0.0.0" : "::") + ".\(80 + index >> 8).\(index & 255)", owner: "superuser")
        }
    }
}

let getPort = PortmapperCall.getPort(Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0))
let getAddress = PortmapperCall.getAddress(
    .v4, RPCB(program: .mountd, version: 3, netID: "udp", address: "10.77.1.1.0.111", owner: ""))
