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

@testable import Upstream
@testable import Warden

/// Servers behind this gateway: filer1 (1) with two IPv4 addresses, one of IPv6 and one that is translated; filer2 (2).
@Suite("servers behind this gateway") struct ServerTests {
    static let first = ip("10.91.2.2")
    static let second = ip("10.91.2.9")
    static let translated = ip("192.0.2.80")
    static let other = ip("10.91.3.3")
    static let id = ServerID(rawValue: 1)

    static let settings = Settings().with {
        var gateway = Settings.Gateway()
        var filer = Settings.Server()
        filer.name = "filer1"
        filer.addresses = [first, second, ip("fd91:2::2")]
        filer.aliases = [translated]
        var another = Settings.Server()
        another.name = "filer2"
        another.addresses = [other]
        gateway.servers = [filer, another]
        $0.gateway = gateway
    }

    static func rule(at scope: ServerScope, open: Opening = .onLookup, lists: Bool = false) -> Rule {
        var rule = Rule.sample(lists: lists, open: open)
        rule.at = scope
        return rule
    }

    static func bench(
        _ rules: [Rule] = [rule(at: .servers(["filer1"]))], settings: Settings = settings,
        filer: [RPCB] = .typical
    ) -> Bench {
        let bench = Bench(rules, settings: settings)
        bench.rpcbind.registrations = .typical
        for number in 1...2 { bench.portmappers[number] = ScriptedRpcbind(registrations: filer) }
        bench.start()
        bench.forget()
        return bench
    }

    static func client(asking server: IPAddress, _ transport: Transport = .udp) -> Peer {
        .from("10.1.0.7", transport, asking: server)
    }

    @Test("a look-up is asked of that server, its service is called, and the port opens at the address that was asked")
    func lookUp() {
        for (address, own, id) in [
            (Self.first, Self.first, 1), (Self.second, Self.second, 2), (Self.translated, Self.first, 1),
        ] {
            let bench = Self.bench()
            let place = ServicePort(.tcp, 20048, at: ServerID(rawValue: UInt16(id)))
            #expect(
                bench.ask(.port(of: .mountd), from: Self.client(asking: address)) == [PortmapperResult.port(20048).body]
            )
            #expect(bench.asked == [])
            #expect(bench.askedServers == [.init(question: .port(of: .mountd), server: 1)])
            #expect(
                bench.called == [LivenessQuestion(address: own, service: place, program: .mountd, version: 3)])
            #expect(bench.kernel.granted.keys.map(\.service) == [place])
            #expect(bench.events(.granted).map(\.server) == ["filer1"])
            #expect(bench.events(.permitted).map(\.server) == ["filer1"])
            #expect(bench.isQuiet)
        }
    }

    @Test("registered ports of each server are guarded at each of its addresses, whether or not they answer")
    func guarded() {
        let bench = Self.bench()
        let ids = [1, 2, 3, 5].map { ServerID(rawValue: $0) }
        #expect(ids.allSatisfy { bench.kernel.guarded.contains(.tcp(2049).at($0)) })
        #expect(bench.kernel.guarded.contains(.tcp(2049)))
        #expect(bench.called == [])
    }

    @Test("changes of single servers add up to what registries and policy ask for, also if the kernel refuses some")
    func singleChanges() {
        var always = Rule.sample(from: ["10.1.128.0/17"], open: .always)
        always.at = .anyServer
        let rules = [always, Self.rule(at: .anyServer)]
        let bench = Self.bench(rules)
        var random = SeededGenerator(state: 7)
        for round in 0..<30 {
            let ports = [UInt16]([20_048, 20_049, 20_050]).filter { _ in Bool.random(using: &random) }
            let number = Int.random(in: 1...2, using: &random)
            bench.portmappers[number]?.registrations =
                RPCB.ownPlaces + ports.map { RPCB(.mountd, 3, .tcp, port: $0) }
            if round % 7 == 0 { bench.kernel.refusals.append(CommitFailure(errno: 1, message: "refused")) }
            _ = bench.ask(
                .port(of: .mountd), from: Self.client(asking: [Self.first, Self.other][number - 1]), xid: UInt32(round))
            bench.advance(by: .seconds(5))
            bench.advance(by: .seconds(1))
            let (guarded, standing, granted) = (
                bench.kernel.guarded, bench.kernel.standing, Set(bench.kernel.granted.keys)
            )
            #expect(!standing.isEmpty || ports.isEmpty)
            bench.reload(rules)
            bench.advance(by: .seconds(1))
            #expect(bench.kernel.guarded == guarded)
            #expect(bench.kernel.standing == standing)
            #expect(Set(bench.kernel.granted.keys) == granted)
        }
        #expect(bench.kernel.refusedCount > 3 && bench.events(.revoked).count > 3)
    }

    @Test("a registration at one address holds for that address alone")
    func oneAddress() {
        let registrations = RPCB.ownPlaces + [RPCB(.mountd, 3, .udp, "10.91.2.9.78.80")]
        let bench = Self.bench(filer: registrations)
        #expect(bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first)) == [PortmapperResult.port(0).body])
        #expect(
            bench.ask(.address(of: .mountd), from: Self.client(asking: Self.second), xid: 8) == [
                PortmapperResult.address("10.91.2.9.78.80").body
            ])
        let atServer = bench.kernel.guarded.filter { $0.port == 20048 && $0.server != .thisHost }
        #expect(atServer.map(\.server.rawValue).sorted() == [2, 5].filter { $0 == 2 })
    }

    @Test("a client that rules name only at another server is no stranger, and is denied")
    func anotherServer() {
        let bench = Self.bench()
        #expect(bench.ask(.port(of: .mountd), from: Self.client(asking: Self.other)) == [authError])
        #expect(bench.ask(.port(of: .mountd), from: Self.client(asking: Peer.server), xid: 8) == [authError])
        #expect(bench.denials == [.noRule, .noRule])
        #expect(bench.events(.denied).map(\.server) == ["filer2", nil])
        #expect(bench.ask(.port(of: .mountd), from: .from("203.0.113.9", asking: Self.first)) == [])
        #expect(bench.denials.last == .stranger)
    }

    @Test("no caller of a server counts as this host")
    func forgedLocal() {
        let bench = Self.bench()
        let forged = Peer.from("10.91.2.2", asking: Self.first, isLocal: true)
        #expect(bench.ask(.dump(.v2), from: forged) == [])
        #expect(bench.denials == [.stranger])
    }

    @Test("a service that doesn't answer its NULL call is not opened")
    func dead() {
        let bench = Self.bench()
        bench.dead = [.tcp(20048).at(Self.id)]
        #expect(bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first)) == [authError])
        #expect(bench.denials == [.notListening])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.isQuiet)
    }

    @Test("a server that can't be reached costs others nothing, and keeps its guard")
    func unreachable() {
        let bench = Self.bench([Self.rule(at: .anyServer), Rule.sample("here")])
        bench.portmappers[2] = nil
        bench.advance(by: .seconds(5))
        #expect(bench.events(.rpcbindDown).map(\.server) == ["filer2"])
        #expect(bench.kernel.guarded.contains(.tcp(2049).at(ServerID(rawValue: 5))))
        #expect(bench.ask(.port(of: .mountd), from: Self.client(asking: Self.other)) == [authError])
        #expect(bench.denials == [.rpcbindDown])
        #expect(
            bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first), xid: 8) == [
                PortmapperResult.port(20048).body
            ])
        #expect(bench.ask(.port(of: .mountd), from: .named, xid: 9) == [PortmapperResult.port(20048).body])
    }

    @Test("the calls that one server may keep waiting are bounded, and leave places to the others")
    func hungServer() {
        let bench = Self.bench([Self.rule(at: .anyServer), Rule.sample("here")])
        bench.holdsQuestions = true
        for number in 0..<6000 {
            let peer = Peer.from(
                "10.1.\(number / 250).\(number % 250 + 1)", .tcp, asking: Self.other, channel: UInt64(number))
            bench.call(.port(of: .mountd, version: UInt32(number)), from: peer)
        }
        #expect(bench.loop.warden.exchanges.count <= 4096)
        bench.holdsQuestions = false
        #expect(bench.events(.denied).isEmpty == false)
        let before = bench.loop.warden.exchanges.count
        bench.call(.port(of: .mountd), from: Self.client(asking: Self.first))
        bench.answerAll()
        #expect(before > 0 && bench.isQuiet)
    }

    @Test("a registry that forgets ends nothing that still answers; what answers no more lingers, and then goes")
    func forgetful() {
        let bench = Self.bench()
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first, .tcp))
        let place = ServicePort(.tcp, 20048, at: Self.id)
        bench.portmappers[1]?.registrations = RPCB.ownPlaces
        for _ in 0..<300 { bench.advance(by: .seconds(5)) }
        #expect(bench.kernel.guarded.contains(place))
        #expect(bench.kernel.granted.keys.contains { $0.service == place })
        bench.dead = Set(bench.kernel.guarded)
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.guarded.contains(place))
        #expect(bench.kernel.granted.keys.contains { $0.service == place })
        for _ in 0..<130 { bench.advance(by: .seconds(5)) }
        #expect(!bench.kernel.guarded.contains(place))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("a service that registers at another port has moved, and its old port stays shut while it lingers")
    func moved() {
        let bench = Self.bench()
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first))
        bench.portmappers[1]?.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 5000)
        bench.dead = [.udp(20048).at(Self.id), .tcp(20048).at(Self.id)]
        bench.advance(by: .seconds(5))
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.guarded.contains(.udp(20048).at(Self.id)))
        #expect(bench.kernel.guarded.contains(.udp(5000).at(Self.id)))
        for _ in 0..<125 { bench.advance(by: .seconds(5)) }
        #expect(!bench.kernel.guarded.contains(.udp(20048).at(Self.id)))
    }

    @Test("a port that its service has left refuses its clients once the server has refused a call: nobody listens")
    func left() {
        let (old, other) = (ServicePort.tcp(20048).at(Self.id), ServicePort.udp(20048).at(Self.id))
        let bench = Self.bench()
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first))
        bench.refused = [old]
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.guarded.contains(old), "it is registered yet")
        bench.portmappers[1]?.registrations = RPCB.ownPlaces
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.guarded.contains(old), "its service may be yet to come")
        bench.portmappers[1]?.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 5000)
        bench.advance(by: .seconds(5))
        #expect(!bench.kernel.guarded.contains(old))
        #expect(bench.kernel.guarded.contains(other), "something answers there")
        #expect(bench.kernel.guarded.contains(.tcp(5000).at(Self.id)))
        bench.refused = [other]
        bench.advance(by: .seconds(5))
        #expect(!bench.kernel.guarded.contains(other))
        #expect(bench.called.count { $0.service == old } == 3, "once for each listing")
    }

    @Test("a portmapper that serves version 2 alone says so, and its registrations need no owner")
    func version2() {
        let bench = Self.bench(filer: [])
        bench.portmappers[1]?.version = .v2
        bench.portmappers[1]?.registrations = [RPCB(.mountd, 3, .tcp, port: 635, owner: "")]
        bench.advance(by: .seconds(5))
        #expect(
            bench.ask(.address(of: .mountd), from: Self.client(asking: Self.first)) == [
                .programMismatch(low: 2, high: 2)
            ])
        #expect(
            bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first), xid: 8) == [
                PortmapperResult.port(635).body
            ])
    }

    @Test("owners are the ones of that server: uids below 1000 by default, others not")
    func owners() {
        for (owner, isTrusted) in [
            ("superuser", true), ("32", true), ("999", true), ("1000", false), ("unknown", false),
        ] {
            let bench = Self.bench(filer: RPCB.everywhere(.mountd, 3, port: 635, owner: owner))
            let answer = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first))
            #expect(answer == [isTrusted ? PortmapperResult.port(635).body : authError])
        }
    }

    @Test("a listing shows what that server's rules list, and GETADDRLIST only what answers")
    func listings() {
        let bench = Self.bench([Self.rule(at: .servers(["filer1"]), lists: true)])
        let shown = bench.ask(.dump(.v2), from: Self.client(asking: Self.first, .tcp))
        #expect(shown.count == 1 && shown != [authError])
        #expect(bench.ask(.dump(.v2), from: Self.client(asking: Self.other, .tcp), xid: 8) == [authError])
        let rpcb = RPCB(.mountd, 3, .tcp, "")
        bench.dead = [.udp(20048).at(Self.id)]
        _ = bench.ask(.getAddressList(rpcb), from: Self.client(asking: Self.first, .tcp), xid: 9)
        #expect(bench.kernel.granted.keys.map(\.service) == [.tcp(20048).at(Self.id)])
        #expect(bench.isQuiet)
    }

    @Test("standing elements are for each address, and a reload at one server leaves the others alone")
    func standing() {
        let bench = Self.bench([Self.rule(at: .servers(["filer1"]), open: .always)])
        let places = Set(bench.kernel.standing.map(\.service).filter { $0.transport == .tcp }.map(\.server.rawValue))
        #expect(places == [1, 2, 3])
        #expect(bench.kernel.standing.allSatisfy { $0.clients.first.isIPv4 == ($0.service.server.rawValue != 3) })
        bench.reload([Self.rule(at: .servers(["filer2"]), open: .always)])
        #expect(Set(bench.kernel.standing.map(\.service.server.rawValue)) == [5])
    }

    @Test("an operator revokes at one server, or everywhere")
    func revoke() {
        let bench = Self.bench([Self.rule(at: .anyServer)])
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first))
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.other), xid: 8)
        #expect(bench.kernel.granted.count == 2)
        bench.handle {
            _ = $0.revoke(client: ip("10.1.0.7"), port: nil, transport: nil, of: 1, at: $1, into: &$2)
        }
        #expect(bench.kernel.granted.keys.map(\.service.server.rawValue) == [5])
        #expect(bench.events(.revoked).map(\.server) == ["filer1"])
    }

    // MARK: Reboot

    private static func saved(_ bench: Bench, settings: Settings = settings) throws -> SavedGuard {
        let snapshot = bench.loop.warden.guardToSave(at: bench.now)
        let text = try #require(snapshot).saved(at: nil).text
        return try SavedGuardText.read(text).renumbered(for: settings.tableShape.gateway)
    }

    private static func booted(_ rules: [Rule], _ saved: SavedGuard, settings: Settings = settings) -> Bench {
        let bench = Bench(rules, settings: settings)
        bench.rpcbind.registrations = .typical
        bench.handle { warden, now, _ in warden.tableMissing(saved: saved, at: now) }
        bench.handle { $0.flush(at: $1, into: &$2) }
        bench.advance(by: .zero)
        return bench
    }

    @Test("after a reboot, a server that is down has the guard and the standing elements of its last registry")
    func reboot() throws {
        let rules = [Self.rule(at: .servers(["filer1"]), open: .always)]
        let before = Self.bench(rules)
        let saved = try Self.saved(before)
        let bench = Self.booted(rules, saved)
        #expect(bench.kernel.guarded == before.kernel.guarded)
        #expect(bench.kernel.standing == before.kernel.standing)
        #expect(bench.events(.rpcbindDown).map(\.server) == ["filer1", "filer2"])
        bench.portmappers[1] = ScriptedRpcbind(registrations: .typical)
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.standing == before.kernel.standing)
    }

    @Test("what was saved and can't be put into the table is left out: the rest guards")
    func saveless() throws {
        var saved = try Self.saved(Self.bench())
        let until = Bench.startOfTime + .seconds(86_400)
        let (note, nfs) = (
            GrantNote(program: .nfs, issued: Bench.startOfTime, rule: "r"), ServicePort.tcp(2049)
        )
        let third = ServerID(rawValue: 3)  // fd91:2::2
        let good = GrantKey(client: ip("2001:db8:1::7"), service: nfs.at(third))
        for key in [
            good, GrantKey(client: ip("10.1.2.3"), service: nfs.at(third)),
            GrantKey(client: ip("10.1.2.3"), service: nfs.at(Self.id.callback)),
        ] {
            saved.remembered[key] = .init(note: note, programs: Programs(.nfs), until: until)
        }
        saved.programs[.tcp(111).at(Self.id)] = []
        let settings = Self.settings.with { $0.firewall.never = [] }
        let operations = saved.transaction(for: settings, at: Bench.startOfTime).operations
        let remembered = operations.compactMap { if case .remember(let key, _, _) = $0 { key } else { nil } }
        #expect(remembered == [good])
        #expect(operations.contains(.guardPort(nfs.at(Self.id))))
        #expect(!operations.contains(.guardPort(.tcp(111).at(Self.id))))
    }

    @Test("servers in another order keep what was saved of them, and one that is gone loses it")
    func renumbered() throws {
        let saved = try Self.saved(Self.bench([Self.rule(at: .anyServer)]))
        var turned = Self.settings
        turned.gateway?.servers.reverse()
        let again = saved.renumbered(for: turned.tableShape.gateway)
        #expect(again.programs[.tcp(2049).at(Self.id)] == [.nfs])
        #expect(again.programs.keys.count == saved.programs.keys.count)
        var fewer = Self.settings
        fewer.gateway?.servers.removeFirst()
        #expect(Set(saved.renumbered(for: fewer.tableShape.gateway).programs.keys.map(\.server.rawValue)) == [0, 1])
        #expect(Set(saved.renumbered(for: nil).programs.keys.map(\.server)) == [.thisHost])
    }

    @Test("without a readable configuration the saved guard makes the table with the same servers")
    func lastSettings() throws {
        var settings = Self.settings
        settings.gateway?.servers[0].guarded = .all
        settings.gateway?.servers[0].pass = [.init(.tcp, 22...22)]
        let snapshot = Self.bench(settings: settings).loop.warden.guardToSave(at: .zero)
        let saved = try SavedGuardText.read(#require(snapshot).saved(at: nil).text)
        #expect(saved.lastSettings.tableShape.gateway == settings.tableShape.gateway)
        let transaction = saved.transaction(for: saved.lastSettings, at: Bench.startOfTime)
        #expect(transaction.operations.contains(.guardPort(.tcp(2049).at(Self.id))))
    }

    @Test("a registration of a server that was saved, and that it has no more, lingers from the first listing on")
    func goneMeanwhile() throws {
        let saved = try Self.saved(Self.bench())
        let bench = Self.booted([Self.rule(at: .servers(["filer1"]))], saved)
        for _ in 0..<300 { bench.advance(by: .seconds(5)) }
        let place = ServicePort(.tcp, 20048, at: Self.id)
        #expect(bench.kernel.guarded.contains(place))
        bench.portmappers[1] = ScriptedRpcbind(registrations: RPCB.ownPlaces)
        bench.dead = Set(bench.kernel.guarded)
        for _ in 0..<100 { bench.advance(by: .seconds(5)) }
        #expect(bench.kernel.guarded.contains(place))
        for _ in 0..<30 { bench.advance(by: .seconds(5)) }
        #expect(!bench.kernel.guarded.contains(place))
    }

    @Test("a daemon that starts again adopts the grants at servers that policy still permits")
    func restart() {
        let bench = Self.bench([Self.rule(at: .anyServer)])
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.first))
        _ = bench.ask(.port(of: .mountd), from: Self.client(asking: Self.other), xid: 8)
        let held = Set(bench.kernel.granted.keys)
        let next = Bench([Self.rule(at: .servers(["filer1"]))], settings: Self.settings)
        next.kernel = bench.kernel
        next.rpcbind.registrations = .typical
        next.portmappers[1] = ScriptedRpcbind(registrations: .typical)
        next.start()
        // filer2 isn't read yet, and policy has no rule about it any more.
        #expect(held.count == 2 && next.kernel.granted.keys.map(\.service.server) == [Self.id])
        next.portmappers[2] = ScriptedRpcbind(registrations: .typical)
        next.advance(by: .seconds(5))
        #expect(next.kernel.granted.keys.map(\.service.server) == [Self.id])
    }
}
