import Addresses
import FleetRecords
import Testing

@testable import Daemon

@Suite("what waits to be told to the sidecar") struct FleetOutletTests {
    private static func message(_ number: Int) -> DaemonMessage { .released(.v4(UInt32(number))) }

    /// Three pages of one message each.
    private static func page(_ place: Int) -> (messages: [DaemonMessage], next: Int?) {
        ([message(1000 + place)], place < 2 ? place + 1 : nil)
    }

    private func all(_ outlet: inout FleetOutlet) -> [DaemonMessage] {
        var messages: [DaemonMessage] = []
        while true {
            let some = outlet.take(10, page: Self.page)
            if some.isEmpty { return messages }
            messages += some
        }
    }

    private static let resync: [DaemonMessage] =
        [.resyncBegan] + (0..<3).map { message(1000 + $0) } + [.resyncEnded]

    @Test("nothing is kept while there is no sidecar")
    func closed() {
        var outlet = FleetOutlet()
        outlet.tell(Self.message(1))
        #expect(outlet.waitingCount == 0)
        #expect(all(&outlet).isEmpty)
    }

    @Test("everything is told first, page by page; what happens meanwhile after it")
    func resync() {
        var outlet = FleetOutlet()
        outlet.opened()
        let first = outlet.take(10, page: Self.page)
        #expect(first == [.resyncBegan, Self.message(1000)])
        outlet.tell(Self.message(1))
        #expect(first + all(&outlet) == Self.resync + [Self.message(1)])
    }

    @Test("what isn't read in time is dropped, and everything is told anew; memory is bounded")
    func overrun() {
        var outlet = FleetOutlet()
        outlet.opened()
        _ = all(&outlet)
        for number in 0...FleetOutlet.waitingMax { outlet.tell(Self.message(number)) }
        #expect(outlet.overruns == 1)
        #expect(outlet.waitingCount == 0)
        #expect(all(&outlet) == Self.resync)
        outlet.tell(Self.message(5))
        #expect(all(&outlet) == [Self.message(5)])
    }

    @Test("what was told is given back, though something always waits")
    func memory() {
        var outlet = FleetOutlet()
        outlet.opened()
        _ = all(&outlet)
        outlet.tell(Self.message(0))
        for number in 1..<50_000 {
            outlet.tell(Self.message(number))
            _ = outlet.take(1, page: Self.page)
        }
        #expect(outlet.waitingCount == 1)
        #expect(outlet.held <= FleetOutlet.toldMax + 1)
    }

    @Test("is told in order, some at a time")
    func order() {
        var outlet = FleetOutlet()
        outlet.opened()
        _ = all(&outlet)
        for number in 0..<25 { outlet.tell(Self.message(number)) }
        #expect(outlet.take(10, page: Self.page) == (0..<10).map(Self.message))
        outlet.tell(Self.message(25))
        #expect(outlet.waitingCount == 16)
        #expect(all(&outlet) == (10..<26).map(Self.message))
    }
}
