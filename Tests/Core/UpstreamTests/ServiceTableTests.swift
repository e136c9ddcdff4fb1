import Addresses
import Clock
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Upstream

@Suite("service table") struct ServiceTableTests {
    private static func table(_ list: [RPCB]) -> ServiceTable {
        var table = ServiceTable()
        _ = table.registryRead(trusted(Registry(list)), at: .zero)
        return table
    }

    @Test("knows trusted services of other hosts' concern alone")
    func programs() {
        let list =
            .typical + RPCB.everywhere(.nfsACL, 3, port: 2049) + [
                RPCB(.quota, 1, .tcp, port: 2049, owner: "1000"), RPCB(.quota, 1, .udp, "127.0.0.1.8.1"),
                RPCB(.quota, 1, .tcp6, "::1.8.1"), RPCB(.quota, 1, .local, "/run/q"),
            ] as [RPCB]
        #expect(
            Self.table(list).programs == [
                .tcp(20048): [.mountd], .udp(20048): [.mountd], .tcp(2049): [.nfs, .nfsACL],
                .udp(2049): [.nfs, .nfsACL],
            ])
    }

    @Test("tells changes only")
    func changes() {
        var table = Self.table(.typical)
        #expect(table.registryRead(trusted(Registry(.typical.reversed())), at: .zero) == false)
        #expect(table.registryRead([], at: .zero) == true)
        table = Self.table(.typical)
        let alive: [ServicePort: ListenerState] = [.tcp(2049): ListenerState(ipv4: true)]
        #expect(table.listenersInspected(alive, at: .zero) == true)
        #expect(table.listenersInspected(alive, at: .zero) == false)
        #expect((table.isAlive(.tcp(2049), ipv4: true), table.isAlive(.tcp(2049), ipv4: false)) == (true, false))
        #expect(!table.isAlive(.tcp(1), ipv4: true))
    }

    @Test("remembers no listeners of ports that aren't registered")
    func bounded() {
        var table = Self.table(.typical)
        for port in UInt16(1)...500 {
            _ = table.listenersInspected([.udp(port): ListenerState(ipv4: true)], at: .zero)
        }
        #expect((1...500).count { table.isListening(.udp(UInt16($0))) != nil } == 0)
        #expect(Set(table.watched) == [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049)])
    }

    private static let open = ListenerState(ipv4: true, cookie: 7)

    /// A table with a port that an earlier run guarded, and that is not registered now.
    private static func adopting(_ adopted: ServiceTable.Adopted) -> ServiceTable {
        var table = ServiceTable()
        table.adopt(guarded: [.tcp(9): adopted], at: at(0))
        _ = table.registryRead([], at: .zero)
        return table
    }

    private static func isGuarded(_ table: inout ServiceTable) -> Bool {
        _ = table.updateGuards(never: [])
        return table.guarded.contains(.tcp(9))
    }

    @Test("an adopted port waits for its service, opening nothing, and stays guarded while its socket listens")
    func adopted() {
        var table = Self.adopting(.init(programs: [.nfs], sockets: [7]))
        _ = table.listenersInspected([.tcp(9): ListenerState()], at: at(1))
        #expect((Self.isGuarded(&table), table.programs(at: .tcp(9))) == (true, []))
        _ = table.listenersInspected([.tcp(9): Self.open], at: at(2))
        #expect((Self.isGuarded(&table), table.programs(at: .tcp(9))) == (true, [.nfs]))
        _ = table.listenersInspected([.tcp(9): ListenerState()], at: at(3))
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init(programs: [.nfs], sockets: [7]))
        _ = table.listenersInspected([.tcp(9): ListenerState()], at: at(0) + ServiceTable.lingers)
        #expect(!Self.isGuarded(&table))
    }

    @Test("an adopted port where nobody listens doesn't wait for a service that has moved: its clients must be refused")
    func adoptedMoved() {
        let closed: [ServicePort: ListenerState] = [.tcp(9): ListenerState()]
        let nfs = trusted(Registry([RPCB(.nfs, 3, .tcp, port: 10)]))
        var table = Self.adopting(.init(programs: [.nfs], sockets: []))
        _ = table.registryRead(nfs, at: at(1))
        _ = table.listenersInspected([.tcp(9): Self.open], at: at(1))
        #expect(Self.isGuarded(&table), "somebody listens")
        let isChanged = table.listenersInspected(closed, at: at(2))
        #expect(isChanged)
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init(programs: [.nfs, .mountd], sockets: []))
        _ = table.registryRead(nfs, at: at(1))
        _ = table.listenersInspected(closed, at: at(1))
        #expect(Self.isGuarded(&table), "mountd may be yet to come")
        _ = table.registryRead([], at: at(2))
        _ = table.listenersInspected(closed, at: at(2))
        #expect(Self.isGuarded(&table), "both may be yet to come")

        table = Self.adopting(.init())
        _ = table.registryRead(nfs, at: at(1))
        _ = table.listenersInspected(closed, at: at(1))
        #expect(Self.isGuarded(&table), "whose port it was isn't known")
    }

    private static let server = ServerID(rawValue: 1)
    private static let place = ServicePort.tcp(9).at(server)

    /// A server's table with a port that its programs have left for others.
    private static func left(
        by programs: Set<Program> = [.nfs], registered: [RPCB] = [RPCB(.nfs, 3, .tcp, port: 10)],
        called: Set<Transport> = [.tcp]
    ) -> ServiceTable {
        let site = Site(addresses: [.init(id: server, host: .v4(1))], linger: .seconds(600), called: called)
        var table = ServiceTable(owners: nil, site: site)
        table.adopt(guarded: [place: .init(programs: programs)], at: at(0))
        _ = table.registryRead(trusted(Registry(registered)), at: at(1))
        return table
    }

    @Test("a server's program has a few ports at each address; all the others are guarded, and open nothing")
    func portsOfProgram() {
        let site = Site(addresses: [.init(id: Self.server, host: .v4(1))], linger: .seconds(600), called: [.tcp])
        var table = ServiceTable(owners: nil, site: site)
        let list = (1...100).map { RPCB(.mountd, UInt32($0), .tcp, port: 10_000 + UInt16($0)) }
        _ = table.registryRead(trusted(Registry(list + [RPCB(.nfs, 3, .tcp, port: 10_100)])), at: at(0))
        _ = table.updateGuards(never: [])
        #expect(table.guarded.count == 100)
        #expect(table.guarded.filter { table.programs(at: $0).contains(.mountd) }.count == 8)
        #expect(table.programs(at: .tcp(10_100).at(Self.server)) == [.nfs])
        #expect(table.programs(at: .tcp(10_001).at(Self.server)) == [.mountd])
    }

    @Test("a program that has left one address of a server hasn't moved to another one, where it was all the time")
    func addresses() {
        let other = ServerID(rawValue: 2)
        let site = Site(
            addresses: [.init(id: Self.server, host: .v4(1)), .init(id: other, host: .v4(2))], linger: .seconds(600),
            called: [.tcp])
        var table = ServiceTable(owners: nil, site: site)
        let (here, there) = (RPCB(.nfs, 3, .tcp, "0.0.0.1.8.1"), RPCB(.nfs, 4, .tcp, "0.0.0.2.8.1"))
        _ = table.registryRead(trusted(Registry([here, there])), at: at(0))
        _ = table.updateGuards(never: [])
        _ = table.registryRead(trusted(Registry([here])), at: at(1))
        _ = table.updateGuards(never: [])
        let place = ServicePort.tcp(2049).at(other)
        #expect(table.programs(at: place) == [.nfs])
        _ = table.listenersInspected([place: .refused], at: at(2))
        _ = table.updateGuards(never: [])
        #expect(table.guarded.contains(place))
    }

    /// Whether a server's port is guarded once a call to it has told this.
    private static func isGuarded(_ table: ServiceTable, after state: ListenerState, at time: Int64 = 2) -> Bool {
        var table = table
        let isChanged = table.listenersInspected([place: state], at: at(time))
        guard isChanged else { return true }
        _ = table.updateGuards(never: [])
        return table.guarded.contains(place)
    }

    @Test("a server's port is guarded no longer when its programs have moved and a call was refused; both are needed")
    func serverLeft() {
        #expect(!Self.isGuarded(Self.left(), after: .refused))
        #expect(Self.isGuarded(Self.left(), after: ListenerState()), "silence may hide a listener")
        #expect(Self.isGuarded(Self.left(), after: ListenerState(ipv4: true)), "something listens")
        #expect(Self.isGuarded(Self.left(registered: []), after: .refused), "it may be yet to come")
        #expect(Self.isGuarded(Self.left(by: [.nfs, .mountd]), after: .refused), "mountd may be yet to come")
        #expect(Self.isGuarded(Self.left(registered: [RPCB(.nfs, 3, .udp, port: 9)]), after: .refused), "TCP may be")
        #expect(Self.isGuarded(Self.left(by: []), after: .refused), "whose port it was isn't known")
        #expect(!Self.isGuarded(Self.left(), after: ListenerState(), at: 600_001), "it lingered")
    }

    @Test("a server's port that refuses is guarded while it is registered")
    func serverRegistered() {
        var table = Self.left()
        _ = table.registryRead(trusted(Registry([RPCB(.nfs, 3, .tcp, port: 9)])), at: at(2))
        _ = table.listenersInspected([Self.place: .refused], at: at(2))
        _ = table.updateGuards(never: [])
        #expect(table.guarded.contains(Self.place))
    }

    @Test("whose socket isn't known, an adopted port is guarded for any trusted one's sake; after a reboot for none's")
    func adoptedUnknown() {
        let later = at(0) + ServiceTable.lingers
        var table = Self.adopting(.init())
        _ = table.listenersInspected([.tcp(9): Self.open], at: later)
        #expect(Self.isGuarded(&table))
        _ = table.listenersInspected([.tcp(9): ListenerState(ipv4: true, cookie: 8)], at: later)
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init())
        _ = table.listenersInspected([.tcp(9): ListenerState(ipv4: true, uid: 1000)], at: later)
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init(sockets: []))
        _ = table.listenersInspected([.tcp(9): Self.open], at: later)
        #expect(!Self.isGuarded(&table))
    }

    @Test("a port of the never list isn't guarded, registered, adopted or orphaned")
    func never() {
        var table = Self.adopting(.init())
        _ = table.listenersInspected([.tcp(9): Self.open], at: at(1))
        _ = table.updateGuards(never: [9])
        #expect(table.guarded == [])
    }
}

private func trusted(_ registry: Registry) -> [Registration] {
    registry.registrations.filter { $0.owner == "superuser" }
}
