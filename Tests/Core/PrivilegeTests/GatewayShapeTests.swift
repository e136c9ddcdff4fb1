import Addresses
import Configuration
import Firewall
import Testing

@Suite("the servers as the table needs them") struct GatewayShapeTests {
    private static func gateway(_ change: (inout Settings.Server) -> Void = { _ in }) throws -> Settings.Gateway {
        var filer = Settings.Server()
        filer.name = "filer"
        filer.addresses = [try address("10.91.2.2"), try address("fd91:2::2"), try address("fd91:2::3")]
        filer.aliases = [try address("198.51.100.2"), try address("2001:db8::2")]
        change(&filer)
        var nas = Settings.Server()
        nas.name = "nas"
        nas.addresses = [try address("10.91.2.5")]
        var gateway = Settings.Gateway()
        gateway.servers = [filer, nas]
        gateway.marks = [0x100, 0x200]
        return gateway
    }

    private static func closed(_ server: Int, in shape: GatewayShape) -> [String] {
        shape.closed.filter { Int($0.server.rawValue) == server }.map { "\($0.transport)/\($0.ports)" }
    }

    @Test("numbers addresses from 1: for each server its addresses, then its aliases")
    func numbers() throws {
        let gateway = try Self.gateway()
        let shape = gateway.shape
        #expect(
            shape.addresses.map(\.description)
                == ["10.91.2.2", "fd91:2::2", "fd91:2::3", "198.51.100.2", "2001:db8::2", "10.91.2.5"])
        #expect(
            (0...7).map { gateway.name(of: ServerID(rawValue: $0)) }
                == [nil, "filer", "filer", "filer", "filer", "filer", "nas", nil])
        for (index, address) in shape.addresses.enumerated() {
            let number = ServerID(rawValue: UInt16(index + 1))
            #expect(shape.server(at: address) == number && shape.address(of: number) == address)
        }
        #expect(shape.server(at: .v4(1)) == nil && shape.address(of: .thisHost) == nil)
        #expect(shape.closed == [] && shape.serverMark == 0x100 && shape.clientMark == 0x200)
    }

    @Test("an alias leads to the server's first address of its family, and an address to itself")
    func aliases() throws {
        let gateway = try Self.gateway()
        let translated = (0...7).map { gateway.translated(ServerID(rawValue: $0)).rawValue }
        #expect(translated == [0, 1, 2, 3, 1, 2, 6, 7])
    }

    @Test("ports to close hold for every address of their server; ranges that touch are one, and 111 is left out")
    func close() throws {
        let shape = try Self.gateway {
            $0.close = [.init(.tcp, 100...200), .init(.udp, 7...7), .init(.tcp, 150...300), .init(.tcp, 301...400)]
        }.shape
        let expected = ["tcp/100...110", "tcp/112...400", "udp/7...7"]
        #expect((1...6).map { Self.closed($0, in: shape) } == Array(repeating: expected, count: 5) + [[]])
    }

    @Test("with every port guarded, those to pass stay open, but not 111")
    func all() throws {
        let shape = try Self.gateway {
            $0.guarded = .all
            $0.pass = [
                .init(.tcp, 443...443), .init(.tcp, 22...22), .init(.tcp, 111...111), .init(.udp, 65_000...65_535),
            ]
        }.shape
        let expected = [
            "tcp/0...21", "tcp/23...110", "tcp/112...442", "tcp/444...65535", "udp/0...110", "udp/112...64999",
        ]
        #expect(Self.closed(1, in: shape) == expected && Self.closed(5, in: shape) == expected)
        #expect(Self.closed(6, in: shape) == [])
    }

    @Test("the settings' table has the gateway, and none without servers behind this host")
    func tableShape() throws {
        var settings = Settings()
        #expect(settings.tableShape.gateway == nil)
        settings.gateway = try Self.gateway()
        #expect(settings.tableShape.gateway == settings.gateway?.shape)
    }

    @Test("of an address that is there twice, the first one counts")
    func twice() {
        let shape = GatewayShape(addresses: [.v4(1), .v4(2), .v4(1)])
        #expect(shape.server(at: .v4(1)) == ServerID(rawValue: 1))
        #expect(shape.address(of: ServerID(rawValue: 3)) == .v4(1))
    }
}
