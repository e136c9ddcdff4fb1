import Testing

@testable import Exchanges

@Suite("the table of exchanges")
struct ExchangeTableTests {
    private func exchange(_ xid: UInt32) -> Exchange {
        Exchange(.init(peer: .named, xid: xid, byteCount: 56, call: .port(of: .nfs), permission: .local))
    }

    @Test("an exchange that ended is not found in the place that another has taken")
    func places() {
        var table = ExchangeTable()
        let first = table.insert(exchange(1))
        #expect(table.remove(first)?.request.xid == 1)
        let second = table.insert(exchange(2))
        #expect(first != second)
        #expect(table[first] == nil)
        #expect(table.remove(first) == nil)
        table.change(first) { $0.outstanding = 5 }
        #expect(table[second]?.request.xid == 2)
        #expect(table[second]?.outstanding == 0)
        #expect(table.count == 1)
    }

    @Test("an exchange is changed where it is, and a lost one is not made anew")
    func change() {
        var table = ExchangeTable()
        let id = table.insert(exchange(1))
        table.change(id) { $0.outstanding = 3 }
        #expect(table[id]?.outstanding == 3)
        _ = table.remove(id)
        table.change(id) { $0 = exchange(9) }
        #expect(table.isEmpty)
        #expect(table[id] == nil)
    }

    @Test("tells all, the oldest first, whatever places they have")
    func order() {
        var table = ExchangeTable()
        let ids = (1...4).map { table.insert(exchange($0)) }
        _ = table.remove(ids[1])
        _ = table.remove(ids[0])
        _ = table.insert(exchange(5))
        _ = table.insert(exchange(6))
        #expect(table.all.map(\.exchange.request.xid) == [3, 4, 5, 6])
        #expect(table.all.allSatisfy { table[$0.id]?.request.xid == $0.exchange.request.xid })
    }
}
