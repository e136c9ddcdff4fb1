import Addresses
import Glibc
import Testing

@testable import PortmapServer

@Suite("own addresses")
struct OwnAddressesTests {
    private static let loopback4 = IPAddress.v4(0x7f00_0001)
    private static let loopback6 = IPAddress.v6(1)
    private static let otherInterface: UInt32 = 99

    /// A UDP socket whose descriptor refers to an object that can't be filtered, until it is repaired.
    private struct Breakable {
        let socket: ListeningSocket
        private let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
        private let whole: Int32

        init(_ address: IPAddress) throws {
            let bound = try ListeningSocket.bind(address, port: 0)
            for socket in bound where socket.transport == .tcp { close(socket.descriptor) }
            socket = try #require(bound.first { $0.transport == .udp })
            whole = dup(socket.descriptor)
        }

        func fail() { dup2(nothing, socket.descriptor) }
        func mend() { dup2(whole, socket.descriptor) }
        func end() { for descriptor in [socket.descriptor, nothing, whole] { close(descriptor) } }
    }

    @Test(
        "what goes wrong with the filters of one family is told once, and leaves the other as it is",
        arguments: [(loopback4, loopback6), (loopback6, loopback4)])
    func oneFamily(failing: IPAddress, other: IPAddress) throws {
        let (broken, sound) = (try Breakable(failing), try Breakable(other))
        defer {
            broken.end()
            sound.end()
        }
        let addresses = OwnAddresses()
        func isLocal(_ address: IPAddress) -> Bool { addresses.isLocal(datagramFrom: address, by: Self.otherInterface) }
        #expect(!isLocal(other) && !isLocal(failing))
        #expect(addresses.filter(sound.socket) == [])
        broken.fail()
        for _ in 0..<2 {
            let told = addresses.filter(broken.socket)
            #expect(told.count == 1)
            #expect(told.allSatisfy { $0.contains("can't be filtered: Socket operation on non-socket") })
            #expect(addresses.filter(broken.socket) == [] && addresses.looked(thinning: 1) == [])
            #expect(isLocal(other) && !isLocal(failing))
            broken.mend()
            #expect(addresses.looked(thinning: 0) == [])
            #expect(isLocal(other) && isLocal(failing))
            broken.fail()
        }
    }

    @Test("a filter that failed is tried again, also if no address changes", arguments: [loopback4, loopback6])
    func retry(address: IPAddress) throws {
        let broken = try Breakable(address)
        defer { broken.end() }
        let addresses = OwnAddresses()
        broken.fail()
        #expect(addresses.filter(broken.socket).count == 1)
        broken.mend()
        var looks = 0
        while looks < 100, !addresses.isLocal(datagramFrom: address, by: Self.otherInterface) {
            looks += 1
            #expect(addresses.looked(thinning: 0) == [])
        }
        #expect(looks > 1 && looks < 100)
    }

    @Test(
        "a connection is this host's only if the route to the peer is local, whatever address was asked",
        arguments: [("127.0.0.9", true), ("::1", true), ("192.0.2.1", false), ("2001:db8::1", false)])
    func connections(address: String, isLocal: Bool) throws {
        let peer = try #require(IPAddress(address))
        #expect(OwnAddresses().isLocal(connectionFrom: peer, by: 0) == isLocal)
    }
}
