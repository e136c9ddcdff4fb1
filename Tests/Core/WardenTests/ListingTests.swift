import Addresses
import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Upstream
@testable import Warden
@testable import Watch

private func decoded(_ body: Reply.Body?, of call: PortmapperCall) throws -> PortmapperResult {
    guard case .success(let bytes) = body else { throw XDRError.truncated }
    return try bytes.withUnsafeBytes { try PortmapperResult(decoding: $0, of: call) }
}

@Suite("listing") struct ListingTests {
    static let lister = Rule.sample(to: [.mountd], over: [.tcp], lists: true)
    static let other = Rule.sample("nfs", to: [.nfs])

    @Test(
        "DUMP of version 2 shows what list rules cover, and 100000 at port 111",
        arguments: [Peer.named, .from("2001:db8:1::7")])
    func version2(peer: Peer) throws {
        let bench = Bench.started([Self.lister, Self.other])
        let result = try decoded(bench.ask(.dump(.v2), from: peer.over(.tcp)).first, of: .dump(.v2))
        let own = (2...4).flatMap { version in
            [6, 17].map { Mapping(program: .portmapper, version: version, protocolNumber: $0, port: 111) }
        }
        #expect(result == .mappings(own + [Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 20048)]))
        #expect(bench.asked == [.registry])
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("versions 3 and 4 too, without rpcbind's own place", arguments: [PortmapperVersion.v3, .v4])
    func versions3And4(version: PortmapperVersion) throws {
        let bench = Bench.started([Self.lister, Self.other])
        let result = try decoded(bench.ask(.dump(version), from: .named.over(.tcp)).first, of: .dump(version))
        guard case .registrations(let list) = result else { return #expect(Bool(false)) }
        #expect(Set(list.filter { $0.program == .portmapper }.map(\.address)) == ["0.0.0.0.0.111", "::.0.111"])
        #expect(
            list.filter { $0.program != .portmapper } == [
                RPCB(.mountd, 3, .tcp, port: 20048), RPCB(.mountd, 3, .tcp6, port: 20048),
            ])
        #expect(!list.contains { $0.address.contains("4.87") || $0.address.contains("/") || $0.netID == "local" })
    }

    @Test("what others than trusted owners registered, and what is for this host only, is left out")
    func hidden() throws {
        let hostile = [
            RPCB(.mountd, 9, .tcp, port: 5000, owner: "1000"), RPCB(.mountd, 8, .tcp, "127.0.0.1.19.137"),
            RPCB(.mountd, 7, .local, "/run/mountd.sock"),
        ]
        let bench = Bench.started([Self.lister], registering: hostile + RPCB.everywhere(.mountd, 3, port: 20048))
        let result = try decoded(bench.ask(.dump(.v2), from: .named.over(.tcp)).first, of: .dump(.v2))
        #expect(result == .mappings([Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 20048)]))
    }

    @Test("a list opens nothing: it waits for no look at who listens, unless the registry is another one")
    func inspection() {
        let bench = Bench.started([Self.lister])
        #expect(bench.ask(.dump(.v2), from: .named.over(.tcp)).count == 1)
        #expect(bench.inspections.isEmpty)
        bench.rpcbind.registrations += RPCB.everywhere(.nfs, 4, port: 2050)
        #expect(bench.ask(.dump(.v2), from: .named.over(.tcp), xid: 8).count == 1)
        #expect(bench.inspections.count == 1)
        #expect(bench.loop.warden.servers[0].upstream.services.guarded.contains(ServicePort(.tcp, 2050)))
        #expect(bench.isQuiet)
    }

    @Test("this host sees all, with our place instead of rpcbind's")
    func local() throws {
        let bench = Bench.started()
        let result = try decoded(bench.ask(.dump(.v4), from: .loopback).first, of: .dump(.v4))
        guard case .registrations(let list) = result else { return #expect(Bool(false)) }
        #expect(list.count == [RPCB].typical.count)
        #expect(!list.contains { $0.address.hasSuffix(".4.87") })
    }

    @Test("a listing is read after it was asked for")
    func fresh() throws {
        let bench = Bench.started([Self.lister])
        bench.rpcbind.registrations = RPCB.everywhere(.mountd, 3, port: 4002)
        let result = try decoded(bench.ask(.dump(.v2), from: .named.over(.tcp)).first, of: .dump(.v2))
        #expect(result == .mappings([Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 4002)]))
    }

    @Test("what was listed once is listed so to nobody who sees something else")
    func views() throws {
        let other = Rule.sample("other", from: ["10.2.0.0/16"], to: [.nfs], lists: true)
        let forThisHost = RPCB(.mountd, 8, .tcp, "127.0.0.1.19.137")
        let started = {
            Bench.started([Self.lister, other], settings: .observing, registering: .typical + [forThisHost])
        }
        let call = PortmapperCall.dump(.v2)
        let elsewhere = { (peer: Peer) -> Peer in
            var peer = peer
            peer.asked.port = 1110
            return peer
        }
        let readers = [
            Peer.named.over(.tcp), .from("10.2.3.4", .tcp), elsewhere(.named.over(.tcp)), .loopback,
            Peer.stranger.over(.tcp), .named,
        ]
        let alone = try readers.map { reader in
            let bench = started()
            return try decoded(bench.ask(call, from: reader).first, of: call)
        }
        #expect(Set(alone).count == readers.count - 1, "over UDP the named one is told what a stranger is")
        let bench = started()
        for _ in 0..<2 {
            for (reader, expected) in zip(readers, alone) {
                #expect(try decoded(bench.ask(call, from: reader).first, of: call) == expected)
                #expect(bench.ask(.dump(.v4), from: reader) != bench.ask(call, from: reader))
            }
        }
    }

    @Test("a listing is another one after the registry or the policy has changed")
    func changes() throws {
        let bench = Bench.started([Self.lister, Self.other])
        let call = PortmapperCall.dump(.v2)
        let listed = { (bench: Bench) -> PortmapperResult in
            try decoded(bench.ask(call, from: .named.over(.tcp)).first, of: call)
        }
        let first = try listed(bench)
        bench.rpcbind.registrations += RPCB.everywhere(.mountd, 4, port: 20048)
        let second = try listed(bench)
        #expect(first != second)
        bench.reload([.sample(to: [.mountd, .nfs], over: [.tcp], lists: true)])
        #expect(try listed(bench) != second)
    }

    @Test("listings of more kinds of readers than are remembered are right all the same")
    func manyViews() {
        var listings = ListingCache()
        for number in 0..<100 {
            let view = ListingView(reader: .clients(number), .v2, askedAt: 111)
            #expect(listings[view] == nil)
            #expect(listings.remember([UInt8(number)], as: view) == [UInt8(number)])
            #expect(listings[view] == [UInt8(number)])
            #expect(listings.count <= ListingCache.viewsMax)
        }
    }

    @Test("a listing that rpcbind fails to give is denied")
    func down() {
        let bench = Bench.started([Self.lister])
        bench.rpcbind.isDown = true
        #expect(bench.ask(.dump(.v2), from: .named.over(.tcp)) == [.authError(.failed)])
        #expect(bench.denials == [.rpcbindDown])
    }

    @Test("GETADDRLIST opens what it tells, before it tells it")
    func addressList() throws {
        // No rule permits the client to list.
        let bench = Bench.started([.sample()])
        bench.audit = { action, bench in
            guard case .reply = action else { return }
            #expect(bench.kernel.granted.count == 2)
        }
        let call = PortmapperCall.addressList(of: .mountd)
        let result = try decoded(bench.ask(call, from: .named.over(.tcp)).first, of: call)
        #expect(
            result
                == .addressList([
                    AddressEntry(
                        address: "10.1.0.1.78.80", netID: "tcp", semantics: 3, protocolFamily: "inet",
                        protocolName: "tcp"),
                    AddressEntry(
                        address: "10.1.0.1.78.80", netID: "udp", semantics: 1, protocolFamily: "inet",
                        protocolName: "udp"),
                ]))
        #expect(bench.isQuiet)
    }

    @Test("GETADDRLIST leaves out what it can't open: dead services and ports of the never list")
    func addressListOfTheDead() throws {
        let settings = Settings().with { $0.firewall.never = [4045] }
        let bench = Bench([.sample(lists: true)], settings: settings)
        bench.rpcbind.registrations = [RPCB(.mountd, 3, .tcp, port: 20048), RPCB(.mountd, 3, .udp, port: 4045)]
        bench.silent[.tcp(20048)] = ListenerState()
        bench.start()
        let call = PortmapperCall.addressList(of: .mountd)
        #expect(try decoded(bench.ask(call, from: .named.over(.tcp)).first, of: call) == .addressList([]))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("GETADDRLIST is a look-up: over UDP too, of what the client may use, over the transports that it may")
    func addressListIsLookup() throws {
        let bench = Bench.started([.sample(over: [.tcp])])
        let call = PortmapperCall.addressList(of: .mountd)
        let result = try decoded(bench.ask(call, from: .named).first, of: call)
        guard case .addressList(let entries) = result else { return #expect(Bool(false)) }
        #expect(entries.map(\.netID) == ["tcp"])
        #expect(bench.kernel.granted.keys.map(\.service) == [.tcp(20048)])
        #expect(bench.ask(.addressList(of: .nfs), from: .named) == [.authError(.failed)])
        #expect(bench.denials == [.noRule])
        #expect(
            try decoded(bench.ask(.addressList(of: .mountd, version: 9), from: .named).first, of: call)
                == .addressList([]))
    }

    @Test("GETADDRLIST tells and opens nothing that only an expired rule permits; nor does GETPORT, nor a list")
    func expired() throws {
        var fleets = Rule.sample("the fleet's", over: [.udp], lists: true)
        fleets.isExpired = true
        let bench = Bench.started([.sample(over: [.tcp]), fleets])
        let call = PortmapperCall.addressList(of: .mountd)
        guard case .addressList(let entries) = try decoded(bench.ask(call, from: .named).first, of: call) else {
            return #expect(Bool(false))
        }
        #expect(entries.map(\.netID) == ["tcp"])
        #expect(bench.kernel.granted.keys.map(\.service) == [.tcp(20048)])
        #expect(bench.ask(.port(of: .mountd, .udp), from: .named) == [.authError(.failed)])
        #expect(bench.ask(.dump(.v2), from: .named.over(.tcp)) == [.authError(.failed)])
        #expect(bench.denials == [.transport, .noList])
    }

    @Test("GETADDRLIST of the portmapper is our place")
    func ownAddressList() throws {
        let bench = Bench.started([.sample(lists: true)])
        let call = PortmapperCall.addressList(of: .portmapper, version: 4)
        let result = try decoded(bench.ask(call, from: .from("2001:db8:1::7")).first, of: call)
        #expect(bench.asked == [])
        guard case .addressList(let entries) = result else { return #expect(Bool(false)) }
        #expect(entries.map(\.address) == ["2001:db8:1::1.0.111", "2001:db8:1::1.0.111"])
    }

    private static let overUDP = Settings().with { $0.limits.listsOverUDP = true }

    @Test("listings over UDP are bounded by bytes: beyond them silence, logged as rate; TCP is not touched")
    func budget() throws {
        let bench = Bench.started([Self.lister], settings: Self.overUDP)
        var replies: [Reply.Body] = []
        for xid in 0..<200 { replies += bench.ask(.dump(.v4), from: .named, xid: UInt32(xid)) }
        let byteCount = try #require(replies.first.map { Reply(xid: 7, body: $0).encoded.count })
        #expect(replies.count == ListingBudget.burstBytesPerClient / byteCount)
        #expect(bench.denials == Array(repeating: .rate, count: 200 - replies.count))
        #expect(bench.ask(.dump(.v4), from: .named.over(.tcp)).count == 1)
        #expect(bench.ask(.dump(.v4), from: .from("10.1.2.4")).count == 1)
        #expect(bench.isQuiet)
    }

    @Test("GETADDRLIST counts too, and beyond the bytes it opens nothing")
    func addressListBudget() {
        let bench = Bench.started([Self.lister], settings: Self.overUDP.with { $0.limits.callsPerSecond = 10_000 })
        while bench.ask(.dump(.v4), from: .named).count == 1 {}
        while bench.ask(.addressList(of: .mountd), from: .named).count == 1 {}
        let commits = bench.kernel.committed.count
        #expect(bench.denials.last == .rate)
        #expect(bench.ask(.addressList(of: .mountd), from: .named) == [])
        #expect(bench.kernel.committed.count == commits)
    }

    @Test("this host's listings over UDP are not bounded by bytes")
    func localBudget() {
        let bench = Bench.started([Self.lister], settings: Self.overUDP)
        for xid in 0..<200 { #expect(bench.ask(.dump(.v4), from: .loopback, xid: UInt32(xid)).count == 1) }
    }

    @Test("a list that no client takes as one datagram is denied over UDP, and served over TCP")
    func tooLong() {
        let many = (1...200).flatMap { RPCB.everywhere(.mountd, UInt32($0), port: 20048) }
        let bench = Bench.started([Self.lister], settings: Self.overUDP, registering: many)
        for call in [PortmapperCall.dump(.v3), .dump(.v4)] {
            #expect(bench.ask(call, from: .named) == [.authError(.failed)])
            #expect(bench.ask(call, from: .named.over(.tcp)) != [.authError(.failed)])
        }
        #expect(bench.denials == [.listOverUDP, .listOverUDP])
        #expect(bench.events(.denied).last?.detail?.contains("bytes exceeds a datagram") == true)
        #expect(bench.ask(.dump(.v2), from: .named).count == 1, "entries of version 2 are short")
    }
}
