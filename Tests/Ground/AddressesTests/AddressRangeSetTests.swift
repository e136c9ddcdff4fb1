import Addresses
import ONCRPC
import Testing

@testable import Portmapper

@Suite("address ranges as sets") struct AddressRangeSetTests {
    private func range(_ first: UInt32, _ last: UInt32) -> AddressRange { AddressRange(.v4(first), .v4(last)) }

    @Test("a union is disjoint and ascending, and adjacent ranges are one")
    func union() {
        #expect([range(5, 9), range(1, 4), range(7, 20), range(30, .max)].union == [range(1, 20), range(30, .max)])
        #expect([AddressRange.allIPv6, .allIPv4].union == [.allIPv4, .allIPv6])
    }

    @Test("what is left of ranges without others")
    func subtracting() {
        #expect([range(1, 9)].subtracting([]) == [range(1, 9)])
        #expect([range(1, 9)].subtracting([range(1, 1), range(4, 5), range(9, 12)]) == [range(2, 3), range(6, 8)])
        #expect([range(1, 9)].subtracting([range(0, 20)]) == [])
        #expect([AddressRange.allIPv4].subtracting([range(0, 0), range(.max, .max)]) == [range(1, .max - 1)])
        #expect([AddressRange.allIPv4, .allIPv6].subtracting([.allIPv4]) == [.allIPv6])
        #expect([AddressRange.allIPv6].subtracting([.allIPv4]) == [.allIPv6])
    }

    @Test("is covered by sets that have all of its addresses together")
    func covered() {
        #expect(range(1, 9).isCovered(by: [[range(0, 3), range(8, 9)], [range(4, 7)]]))
        #expect(!range(1, 9).isCovered(by: [[range(0, 3), range(8, 9)], [range(5, 7)]]))
        #expect(!range(1, 9).isCovered(by: [[range(2, 9)]]) && !range(1, 9).isCovered(by: []))
        #expect(AddressRange.allIPv4.isCovered(by: [[range(0, 5)], [range(6, .max)]]))
        #expect(!AddressRange.allIPv6.isCovered(by: [[.allIPv4]]))
    }
}
