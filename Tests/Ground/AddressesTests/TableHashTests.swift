import Addresses
import Testing

@Suite struct TableHashTests {
    private struct Witnessed: TableKey {
        final class Calls {
            var count = 0
        }

        var number: Int
        var calls: Calls

        static func == (left: Self, right: Self) -> Bool { left.number == right.number }
        func hash(into hasher: inout Hasher) { Issue.record("hashed by Hasher") }
        func combine(into hash: inout TableHash) {
            calls.count += 1
            hash.combine(number)
        }
    }

    @Test func `dictionaries and sets hash such keys by TableHash`() {
        let calls = Witnessed.Calls()
        var table: [Witnessed: Int] = [:]
        for number in 0..<100 { table[Witnessed(number: number, calls: calls)] = number }
        #expect(table[Witnessed(number: 42, calls: calls)] == 42)
        #expect(Set(table.keys).count == 100)
        #expect(calls.count >= 201)
    }

    private enum Named: String, TableKey, CaseIterable, BitwiseCopyable {
        case one, two, three

        func hash(into hasher: inout Hasher) { Issue.record("hashed by Hasher") }
        func combine(into hash: inout TableHash) { hash.combine(caseOf: self) }
    }

    @Test func `so are enumerations with raw values`() {
        let table = Dictionary(uniqueKeysWithValues: Named.allCases.map { ($0, $0.rawValue) })
        #expect(table[.two] == "two")
    }

    /// The number of a table's places in use, of as many places as keys: with random hashes, 1/e of them stay
    /// empty.
    private func placesTaken(by keys: [some TableKey]) -> Int {
        Set(keys.map { $0._rawHashValue(seed: 7) & (keys.count - 1) }).count
    }

    private static let byChance = 20_200...21_200

    @Test(arguments: [UInt32(0), 16]) func `neighbouring IPv4 addresses spread over a table's places`(shift: UInt32) {
        let keys = (0..<32_768).map { (number: UInt32) in IPAddress.v4(0x0a00_0000 &+ number << shift) }
        #expect(Self.byChance.contains(placesTaken(by: keys)))
    }

    @Test(arguments: [UInt128(0), 64, 100]) func `so do IPv6 addresses, whichever bits differ`(shift: UInt128) {
        let keys = (0..<32_768).map { (number: UInt128) in IPAddress(v6Bits: 1 << 127 | number << shift) }
        #expect(Self.byChance.contains(placesTaken(by: keys)))
    }

    @Test func `so do ports`() {
        let keys = (0..<32_768).map { (number: UInt16) in ServicePort(.tcp, number) }
        #expect(Self.byChance.contains(placesTaken(by: keys)))
    }

    @Test func `another table places keys elsewhere`() {
        let address = IPAddress.v4(0x0a00_0001)
        #expect(address._rawHashValue(seed: 1) != address._rawHashValue(seed: 2))
    }
}
