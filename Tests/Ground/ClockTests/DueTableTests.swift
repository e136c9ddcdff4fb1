import TestSupport
import Testing

@testable import Clock

@Suite("tables of what is due stay as small as what lives") struct DueTableTests {
    @Test("each key is due once, at the instant that it was given last, unless it was removed")
    func due() {
        var table = DueTable<Int>()
        for (key, time) in [(1, 5), (2, 1), (1, 3), (3, 2), (1, 9), (2, 7)] as [(Int, Int64)] {
            table.insert(key, at: at(time))
        }
        #expect(table.remove(3) == true)
        #expect(table.remove(3) == false)
        #expect(table.popFirst(until: at(6)) == nil)
        #expect(table.popFirst(until: at(8))?.key == 2)
        #expect(table[1] == at(9) && table.count == 1)
        #expect(table.popFirst(until: at(9))?.at == at(9))
        #expect(table.count == 0 && table.queuedCount == 0)
    }

    @Test("agrees with a plain dictionary, however often it is thinned out", arguments: 0..<20)
    func model(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var table = DueTable<Int>(staleEntriesMax: 3)
        var model: [Int: Instant] = [:]
        for step in Int64(0)..<2000 {
            let key = Int.random(in: 0..<20, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: #expect(table.remove(key) == (model.removeValue(forKey: key) != nil))
            case 1:
                while let (key, instant) = table.popFirst(until: at(step)) {
                    #expect(model.removeValue(forKey: key) == instant)
                }
                #expect(model.values.allSatisfy { $0 > at(step) })
            default:
                model[key] = at(step + Int64.random(in: 0..<40, using: &generator))
                table.insert(key, at: model[key] ?? .zero)
            }
            #expect(table.instants == model)
            #expect(table.queuedCount <= 2 * 20 + 3)
        }
    }
}
