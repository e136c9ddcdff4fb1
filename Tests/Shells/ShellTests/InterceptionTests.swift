import Addresses
import Testing

@testable import PortmapServer

@Suite("sockets for calls to servers")
struct InterceptionTests {
    private static func socket(_ transport: Transport, _ address: String, port: UInt16 = 111) throws -> ListeningSocket
    {
        ListeningSocket(
            descriptor: -1, transport: transport, address: try #require(IPAddress(address)), port: port)
    }

    private static func both(_ addresses: String..., port: UInt16 = 111) throws -> [ListeningSocket] {
        try addresses.flatMap { [try socket(.udp, $0, port: port), try socket(.tcp, $0, port: port)] }
    }

    private static func missing(_ sockets: [ListeningSocket], _ servers: String...) throws -> String? {
        let servers = try servers.map { try #require(IPAddress($0)) }
        return Interception.missingListener(among: sockets, for: servers).map { "\($0.transport) \($0.address)" }
    }

    @Test("each family of the servers needs a listener of both transports at every address, at port 111")
    func missing() throws {
        let all = try Self.both("0.0.0.0", "::")
        #expect(try Self.missing(all, "10.91.2.2", "fd91:2::2") == nil)
        #expect(try Self.missing(Self.both("0.0.0.0"), "10.91.2.2") == nil)
        #expect(try Self.missing(Self.both("0.0.0.0"), "10.91.2.2", "fd91:2::2") == "udp ::")
        #expect(try Self.missing(Self.both("::"), "10.91.2.2") == "udp 0.0.0.0", "an IPv6 socket takes only IPv6")
        #expect(try Self.missing([Self.socket(.udp, "0.0.0.0")], "10.91.2.2") == "tcp 0.0.0.0")
        #expect(try Self.missing(Self.both("10.91.1.1", "127.0.0.1"), "10.91.2.2") == "udp 0.0.0.0")
        #expect(try Self.missing(Self.both("0.0.0.0", port: 1111), "10.91.2.2") == "udp 0.0.0.0")
        #expect(try Self.missing([]) == nil)
    }

    @Test("what is missing is told with its remedy, and nothing is changed")
    func remedies() throws {
        let servers = [try #require(IPAddress("10.91.2.2"))]
        let sockets = try Self.both("10.91.1.1")
        #expect(throws: InterceptionFault.noListener(.udp, .v4(0), arePassed: false)) {
            try Interception.prepare(sockets, for: servers, arePassed: false)
        }
        #expect(
            "\(InterceptionFault.noListener(.udp, .v4(0), arePassed: false))"
                == "gateway: nothing listens at udp/0.0.0.0:111, where calls to servers are received; add \"0.0.0.0:111\""
                + " to listen")
        #expect(
            "\(InterceptionFault.noListener(.tcp, .v6(0), arePassed: false))".hasSuffix("add \"[::]:111\" to listen"))
        #expect(
            "\(InterceptionFault.noListener(.tcp, .v6(0), arePassed: true))"
                .hasSuffix("add ListenStream= of that address to rpcwarden.socket"))
    }

    @Test("a socket that can't be made transparent is told of, with its remedy")
    func notTransparent() throws {
        // No socket at all: setsockopt(2) fails as it does without capabilities.
        let sockets = try Self.both("0.0.0.0")
        let error = #expect(throws: InterceptionFault.self) {
            try Interception.prepare(sockets, for: [.v4(0x0a5b_0202)], arePassed: true)
        }
        #expect(
            error?.description
                == "gateway: udp/0.0.0.0:111 can't be made transparent, so as to receive calls to servers: Bad file"
                + " descriptor; set Transparent=yes in rpcwarden.socket")
    }
}
