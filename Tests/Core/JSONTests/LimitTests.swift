import JSON
import Testing

@Suite("JSON's limits") struct LimitTests {
    private func limits(
        bytes: Int = 1 << 24, depth: Int = 16, members: Int = 64, values: Int = 1 << 20
    ) -> JSONLimits {
        JSONLimits(bytesMax: bytes, depthMax: depth, membersMax: members, valuesMax: values)
    }

    private func text(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test("bounds the bytes")
    func bytes() {
        #expect(failure(text("[1]"), limits: limits(bytes: 2)) == .tooLong)
        #expect(failure(text("[1]"), limits: limits(bytes: 3)) == nil)
    }

    @Test("bounds the depth, of arrays and objects together, and needs no stack for it")
    func depth() {
        #expect(failure(text("[{\"a\":[]}]"), limits: limits(depth: 2)) == .tooDeep)
        #expect(failure(text("[{\"a\":[]}]"), limits: limits(depth: 3)) == nil)
        #expect(failure(text("[[],[],[]]"), limits: limits(depth: 2)) == nil)
        #expect(failure(text("1"), limits: limits(depth: 0)) == nil)
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 1 << 20)
        #expect(failure(deep) == .tooDeep)
        #expect(failure(deep, limits: limits(depth: .max, values: .max)) == .malformed(place: 1 << 20))
        let closed = deep + [UInt8](repeating: UInt8(ascii: "]"), count: 1 << 20)
        #expect(failure(closed, limits: limits(depth: .max, values: .max)) == nil)
    }

    @Test("bounds an object's members")
    func members() {
        let object = { (count: Int) in "{\((0..<count).map { "\"\($0)\":0" }.joined(separator: ","))}" }
        #expect(failure(text(object(65))) == .tooManyMembers)
        #expect(failure(text("[\(object(64)),\(object(64))]")) == nil)
    }

    @Test("bounds the values, names included")
    func values() {
        #expect(failure(text("[1,2,3]"), limits: limits(values: 3)) == .tooManyValues)
        #expect(failure(text("[1,2,3]"), limits: limits(values: 4)) == nil)
        #expect(failure(text("{\"a\":1}"), limits: limits(values: 2)) == .tooManyValues)
    }
}
