import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import Gate
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Exchanges
@testable import Upstream
@testable import Warden

/// What servers behind this gateway list, forget, or leave unanswered costs neither the others nor this host.
@Suite("servers that misbehave, or are down") struct ServerOutageTests {
    private static let id = ServerID(rawValue: 1)
    private static let outsider = ip("203.0.113.9")

    private static func found(
        _ rules: [Rule], _ contents: TableContents, settings: Settings = ServerTests.settings
    ) -> Bench {
        let bench = Bench(rules, settings: settings)
        bench.rpcbind.registrations = .typical
        bench.handle { warden, now, _ in warden.tableFound(contents, at: now) }
        bench.handle { $0.flush(at: $1, into: &$2) }
        bench.advance(by: .zero)
        return bench
    }

    @Test("a registration at a server's port 111 is neither guarded nor saved, whatever `never` has")
    func port111() throws {
        let settings = ServerTests.settings.with { $0.firewall.never = [22] }
        let bench = ServerTests.bench(settings: settings, filer: .typical + [RPCB(.mountd, 3, .tcp, port: 111)])
        #expect(!bench.kernel.guarded.contains(.tcp(111).at(Self.id)))
        let snapshot = bench.loop.warden.guardToSave(at: bench.now)
        #expect(try #require(snapshot).saved(at: nil).programs[.tcp(111).at(Self.id)] == nil)
    }

    @Test("an adopted port of unknown programs goes once the server is read and the port doesn't answer")
    func orphanWithoutPrograms() {
        var contents = TableContents()
        contents.guarded = [.tcp(4711).at(Self.id)]
        let bench = Self.found([ServerTests.rule(at: .anyServer)], contents)
        bench.portmappers[1] = ScriptedRpcbind(registrations: .typical)
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.guarded.contains(.tcp(4711).at(Self.id)))
        for _ in 0..<130 { bench.advance(by: .seconds(5)) }
        #expect(!bench.kernel.guarded.contains(.tcp(4711).at(Self.id)))
    }

    @Test("firewall.guard-ports is about this host: a server's port of the same number is adopted")
    func guardPorts() {
        var contents = TableContents()
        contents.guarded = [.tcp(20048).at(Self.id)]
        let settings = ServerTests.settings.with { $0.firewall.guardPorts = [.init(.tcp, 20000...21000)] }
        let bench = Self.found([ServerTests.rule(at: .anyServer)], contents, settings: settings)
        #expect(bench.kernel.guarded.contains(.tcp(20048).at(Self.id)))
    }

    @Test("while a server is down, an earlier run's openings stay as far as policy permits them now")
    func adoptedOpenings() {
        var contents = TableContents()
        contents.guarded = [.tcp(2049).at(Self.id)]
        contents.standing = [
            StandingKey(clients: AddressRange(Self.outsider, Self.outsider), service: .tcp(2049).at(Self.id))
        ]
        let bench = Self.found([ServerTests.rule(at: .anyServer)], contents)
        #expect(bench.kernel.standing.isEmpty)
        let note = GrantNote(program: .mountd, issued: Bench.startOfTime, rule: "gone").description
        contents.standing = []
        contents.granted = ["10.1.0.7", "203.0.113.9"].map {
            GrantElement(
                key: GrantKey(client: ip($0), service: .tcp(2049).at(Self.id)), timeout: .seconds(86_400),
                expiresIn: .seconds(86_400), packets: 1, bytes: 1, comment: note)
        }
        let other = Self.found([ServerTests.rule(at: .anyServer)], contents)
        #expect(other.kernel.granted.keys.map(\.client) == [ip("10.1.0.7")])
    }

    @Test("a service that died is looked at again at the next look-up, though its client has a grant")
    func died() {
        for open in [Opening.always, .onLookup] {
            let bench = ServerTests.bench([ServerTests.rule(at: .anyServer, open: open)])
            let peer = ServerTests.client(asking: ServerTests.first, .tcp)
            #expect(bench.ask(.port(of: .mountd), from: peer) == [PortmapperResult.port(20048).body])
            bench.dead = [.tcp(20048).at(Self.id)]
            #expect(bench.ask(.port(of: .mountd), from: peer, xid: 9) == [authError])
            #expect(bench.denials == [.notListening])
            #expect(bench.events(.staleRegistration).map(\.server) == ["filer1"])
        }
    }

    @Test("without calls to a server's services nothing proves that a withdrawn one lives: it lingers, and goes")
    func uncalled() {
        let settings = ServerTests.settings.with { $0.gateway?.servers[0].liveness = .off }
        let bench = ServerTests.bench(settings: settings)
        _ = bench.ask(.port(of: .mountd), from: ServerTests.client(asking: ServerTests.first, .tcp))
        bench.portmappers[1]?.registrations = RPCB.ownPlaces
        for _ in 0..<100 { bench.advance(by: .seconds(5)) }
        #expect(bench.kernel.granted.count == 1)
        for _ in 0..<30 { bench.advance(by: .seconds(5)) }
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("a server's ports are bounded, those that it forgets too, and another server's are saved all the same")
    func endless() throws {
        func list(from first: UInt16) -> [RPCB] { (0..<9000).map { RPCB(.mountd, 3, .tcp, port: first + $0) } }
        let bench = ServerTests.bench()
        for round in UInt16(0)..<4 {
            bench.portmappers[1]?.registrations = list(from: 10_000 + round * 9_000)
            bench.advance(by: .seconds(5))
        }
        let placesMax = ServiceTable.placesMax * 3
        #expect(bench.kernel.guarded.count { (1...4).contains($0.server.rawValue) } <= 2 * placesMax)
        let snapshot = bench.loop.warden.guardToSave(at: bench.now)
        let saved = try SavedGuardText.read(#require(snapshot).saved(at: nil).text)
        #expect(saved.programs[.tcp(2049).at(ServerID(rawValue: 5))] == [.nfs])
    }

    @Test("however many servers hang, this host has places for calls")
    func manyHung() {
        var settings = Settings()
        var gateway = Settings.Gateway()
        gateway.servers = (0..<8).map { number in
            var server = Settings.Server()
            server.name = "filer\(number)"
            server.addresses = [.v4(0x0a5b_0000 + UInt32(number))]
            return server
        }
        settings.gateway = gateway
        let bench = Bench([ServerTests.rule(at: .anyServer), Rule.sample("here")], settings: settings)
        bench.rpcbind.registrations = .typical
        bench.start()
        bench.holdsQuestions = true
        for server in 0..<7 {
            for number in 0..<3000 {
                let client = "10.1.\(number / 250).\(number % 250 + 1)"
                let asked = IPAddress.v4(0x0a5b_0000 + UInt32(server))
                bench.call(.port(of: .mountd), from: .from(client, asking: asked), xid: UInt32(server + 100))
            }
        }
        bench.forget()
        bench.call(.port(of: .mountd), from: .from("10.1.200.2"))
        #expect(bench.denials.isEmpty)
        #expect(bench.loop.warden.exchanges.count <= Exchanges.callsOfServersMax + 1)
    }

    @Test("a call that a version 2 alone serves is counted and logged")
    func otherVersion() {
        let bench = ServerTests.bench(filer: [])
        bench.portmappers[1]?.version = .v2
        bench.portmappers[1]?.registrations = [RPCB(.mountd, 3, .tcp, port: 635, owner: "")]
        bench.advance(by: .seconds(5))
        _ = bench.ask(.address(of: .mountd), from: ServerTests.client(asking: ServerTests.first))
        #expect(bench.events(.permitted).map(\.detail) == ["the server's portmapper serves version 2 alone"])
    }
}
