import Addresses
import ONCRPC
import Portmapper

/// A service registered over all four netids, for which the load generator listens.
struct Service {
    var program: Program
    var port: Int

    static let portsFrom = 20_001

    /// `count` services; the first are those of NFSv3.
    static func list(_ count: Int) -> [Service] {
        let known = [100_005, 100_003, 100_021, 100_024, 100_011, 100_227].map { Program($0) }
        let more = (0..<count).map { Program(300_000 + UInt32($0)) }
        return (known + more).prefix(count).enumerated().map { Service(program: $1, port: portsFrom + $0) }
    }

    /// The SET calls of version 4.
    var registrations: [[UInt8]] {
        [NetID.tcp, .udp, .tcp6, .udp6].map { netID in
            let host = netID.isIPv4 ? "0.0.0.0" : "::"
            return PortmapperCall.set(
                .v4,
                RPCB(
                    program: program, version: 3, netID: netID.rawValue,
                    address: "\(host).\(port >> 8).\(port & 255)", owner: "superuser")
            ).encoded(xid: 1)
        }
    }
}

/// The calls that the load generator sends, in turn.
struct Messages {
    var calls: [PortmapperCall]

    static func getPort(_ programs: [Program], _ transport: Transport = .tcp) -> Messages {
        Messages(
            calls: programs.map {
                .getPort(
                    Mapping(program: $0, version: 3, protocolNumber: UInt32(transport.rawValue), port: 0))
            })
    }

    static func getAddress(_ netID: NetID) -> Messages {
        Messages(
            calls: [
                .getAddress(
                    .v4,
                    RPCB(
                        program: .mountd, version: 3, netID: netID.rawValue, address: "10.77.1.1.0.111", owner: ""))
            ])
    }

    static let dump = Messages(calls: [.dump(.v4)])

    var text: String { hexadecimal(calls.map { $0.encoded(xid: 1) }) }
}

func hexadecimal(_ messages: [[UInt8]]) -> String {
    messages.map { bytes in
        bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined() + "\n"
    }.joined()
}
