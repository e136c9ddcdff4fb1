import Addresses
import ONCRPC
import Portmapper
import Testing

@testable import RpcbindClient

@Suite("replies of rpcbind") struct ReplyReaderTests {
    /// The message in fragments of 9000 bytes, as rpcbind sends it.
    private static func fragmented(_ message: [UInt8], by size: Int = 9000) -> [UInt8] {
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: max(message.count, 1), by: size) {
            let end = min(start + size, message.count)
            let header = UInt32(end - start) | (end == message.count ? 0x8000_0000 : 0)
            bytes += withUnsafeBytes(of: header.bigEndian, Array.init) + message[start..<end]
        }
        return bytes
    }

    private static func listing(_ count: Int, addressBytes: Int) -> [RPCB] {
        (0..<count).map {
            RPCB(
                program: Program(UInt32($0)), version: 1, netID: "tcp",
                address: String(repeating: "a", count: addressBytes), owner: $0 == 0 ? "superuser" : "1000")
        }
    }

    private static func feed(
        _ reader: inout ReplyReader, _ bytes: [UInt8], by size: Int, version: PortmapperVersion? = .v4
    ) -> [ReplyReader.Message] {
        var messages: [ReplyReader.Message] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            bytes[start..<min(start + size, bytes.count)].withUnsafeBytes {
                messages += reader.feed($0) { _ in version }
            }
        }
        return messages
    }

    @Test("come whole, however they are cut and fragmented", arguments: [1, 3, 4096, 1 << 20])
    func whole(size: Int) {
        let replies = [
            PortmapperResult.port(2049).reply(xid: 1).encoded,
            PortmapperResult.registrations(Self.listing(500, addressBytes: 20)).reply(xid: 2).encoded,
            Reply(xid: 3, body: .authError(.failed)).encoded,
        ]
        var reader = ReplyReader(trusted: ["superuser"])
        let messages = Self.feed(&reader, replies.flatMap { Self.fragmented($0, by: 700) }, by: size)
        #expect(messages == replies.map { .whole($0) })
    }

    @Test(
        "a listing longer than is kept is decoded as it comes, and what follows is not harmed",
        arguments: [977, 65_536])
    func long(size: Int) throws {
        let list = Self.listing(300, addressBytes: 8200)
        let reply = PortmapperResult.registrations(list).reply(xid: 9).encoded
        #expect(reply.count > 2 * ReplyReader.wholeBytesMax)
        var reader = ReplyReader(trusted: ["superuser"])
        let next = PortmapperResult.port(7).reply(xid: 10).encoded
        let messages = Self.feed(&reader, Self.fragmented(reply) + Self.fragmented(next), by: size)
        #expect(messages.count == 2)
        guard case .listing(9, let listing?)? = messages.first else { return #expect(Bool(false)) }
        #expect(listing.registrations.map(\.program) == list.map(\.program))
        #expect(messages.last == .whole(next))
    }

    @Test("what is long and no listing is none")
    func longGarbage() {
        var reader = ReplyReader(trusted: [])
        let garbage = [UInt8](repeating: 7, count: ReplyReader.wholeBytesMax + 9)
        #expect(Self.feed(&reader, Self.fragmented(garbage), by: 65_536) == [.listing(xid: 0, nil)])
        let short = Reply(xid: 5, body: .success([UInt8](repeating: 7, count: ReplyReader.wholeBytesMax))).encoded
        #expect(Self.feed(&reader, Self.fragmented(short), by: 65_536) == [.listing(xid: 5, nil)])
    }

    @Test("a long list of version 2 is decoded as one, and a long reply that answers no list is none")
    func longVersion2() {
        let mapping = Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 2049)
        let count = 60_000
        let reply = PortmapperResult.mappings(Array(repeating: mapping, count: count)).reply(xid: 9).encoded
        #expect(reply.count > 2 * ReplyReader.wholeBytesMax)
        var reader = ReplyReader(trusted: [])
        let messages = Self.feed(&reader, Self.fragmented(reply), by: 65_536, version: .v2)
        guard case .listing(9, let listing?)? = messages.first else { return #expect(Bool(false)) }
        #expect(listing.version == .v2 && listing.registrations.last == RPCB(mapping))
        #expect(listing.registrations.count + listing.omitted == count)
        #expect(Self.feed(&reader, Self.fragmented(reply), by: 65_536, version: nil) == [.listing(xid: 9, nil)])
    }
}
