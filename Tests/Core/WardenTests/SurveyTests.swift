import Clock
import CoreSamples
import Firewall
import Policy
import Portmapper
import Testing

@Suite("a registry that can't be read") struct SurveyTests {
    @Test("policy's programs are asked one by one: look-ups go on, and new services of root are guarded")
    func survey() {
        let bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.registrations = .typical
        bench.rpcbind.cannotList = true
        bench.refresh()
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048)])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        #expect(bench.kernel.granted.count == 1)
        #expect(
            bench.events(.rpcbindDown).map(\.detail) == [
                "rpcbind did not answer in time; policy's programs are asked for one by one"
            ])
        for _ in 0..<4 { bench.refresh() }
        #expect(bench.events(.rpcbindDown).count == 1)
        bench.rpcbind.cannotList = false
        bench.refresh()
        #expect(bench.events(.rpcbindUp).count == 1)
        #expect(bench.kernel.guarded.contains(.tcp(2049)))
        #expect(bench.isQuiet)
    }

    @Test("a start beside such a registry answers look-ups")
    func start() {
        let bench = Bench([.sample()])
        bench.rpcbind.registrations = .typical
        bench.rpcbind.cannotList = true
        bench.start()
        #expect(bench.loop.warden.registry != nil)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
    }

    @Test("whose port it is, is told by its socket: another user's is neither guarded nor granted")
    func foreign() {
        let bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.registrations = RPCB.everywhere(.mountd, 3, port: 5432, owner: "1000")
        bench.silent = [.tcp(5432): ListenerState(ipv4: true, uid: 1000), .udp(5432): ListenerState()]
        bench.rpcbind.cannotList = true
        bench.refresh()
        #expect(bench.kernel.guarded == [])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.authError(.failed)])
    }

    @Test("a program that moves between surveys is kept at its last place only")
    func moving() {
        let bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.cannotList = true
        let ports: [UInt16] = [5432, 5433, 5434, 5435]
        for port in ports {
            bench.rpcbind.registrations = RPCB.ownPlaces + [RPCB(.mountd, 3, .tcp, port: port, owner: "1000")]
            bench.silent = [.tcp(port): ListenerState(ipv4: true, uid: 1000)]
            bench.refresh()
        }
        let found = bench.loop.warden.registry?.registrations(of: .mountd).compactMap(\.service?.port)
        #expect(found == [5435])
    }

    @Test("a listing that lacks what a survey found ends its guard: it was another user's, at a socket of root's")
    func othersAtRootsSocket() {
        let bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.registrations = RPCB.ownPlaces + [RPCB(.mountd, 3, .tcp, port: 5432, owner: "1000")]
        bench.outliving = [.tcp(5432)]
        bench.rpcbind.cannotList = true
        bench.refresh()
        #expect(bench.kernel.guarded == [.tcp(5432)])
        bench.rpcbind.cannotList = false
        bench.refresh()
        #expect(bench.kernel.guarded == [])
        #expect(bench.events(.orphaned).isEmpty)
    }

    @Test("an rpcbind that is gone is asked nothing")
    func gone() {
        let bench = Bench.started([.sample()])
        bench.rpcbind.isDown = true
        bench.refresh()
        #expect(bench.asked == [.registry])
        #expect(bench.loop.warden.isRpcbindUp == false)
    }

    @Test("a listing that takes long is asked for less often: rpcbind answers nobody else meanwhile")
    func sparesRpcbind() {
        let bench = Bench.started()
        bench.holdsQuestions = true
        bench.refresh()
        bench.now = bench.now + .seconds(2)
        bench.answerAll()
        bench.forget()
        for _ in 0..<31 { bench.refresh() }
        #expect(bench.asked.isEmpty)
        bench.refresh()
        #expect(bench.asked == [.registry])
    }

    @Test("a host that was suspended while rpcbind listed reads the registry again soon")
    func suspended() {
        let bench = Bench.started()
        bench.holdsQuestions = true
        bench.refresh()
        bench.now = bench.now + .seconds(3600)
        bench.answerAll()
        bench.forget()
        bench.advance(by: .seconds(80))
        #expect(bench.asked == [.registry])
    }

    @Test("a look at the listeners that takes long puts the next snapshot off: no call is answered meanwhile")
    func sparesCalls() {
        let bench = Bench.started()
        bench.looksTake = .seconds(2)
        bench.refresh()
        bench.forget()
        for _ in 0..<31 { bench.refresh() }
        #expect(bench.asked.isEmpty && bench.inspections.isEmpty)
        bench.refresh()
        #expect(bench.asked == [.registry])
    }

    @Test("a look that a client's call needed puts the snapshot off no longer")
    func clientsLook() {
        let bench = Bench.started([.sample()])
        bench.looksTake = .milliseconds(400)
        bench.call(.port(of: .mountd), from: .named)
        #expect(bench.inspections.count == 1)
        bench.forget()
        bench.advance(by: .milliseconds(100))
        #expect(bench.asked == [.registry])
    }

    @Test("a listing that a client asked for puts the snapshot off no longer, however long it takes")
    func clientsListing() {
        let bench = Bench.started([.sample(lists: true)])
        bench.holdsQuestions = true
        bench.call(.dump(.v4), from: .named.over(.tcp))
        bench.now = bench.now + .milliseconds(400)
        bench.answerAll()
        bench.forget()
        bench.refresh()
        #expect(bench.asked == [.registry])
    }
}
