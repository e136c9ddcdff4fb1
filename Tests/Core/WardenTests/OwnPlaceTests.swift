import Calls
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@Suite("the portmapper itself") struct OwnPlaceTests {
    static let peers: [Peer] = [
        .named, .named.over(.tcp), .from("2001:db8:1::7"), .from("2001:db8:1::7", .tcp), .loopback,
        .loopback.over(.tcp),
    ]

    @Test("is at the address and port that were asked, without asking rpcbind", arguments: peers)
    func ownPlace(peer: Peer) {
        let bench = Bench.started([.sample()])
        let address = PortmapperResult.address("\(peer.asked.host).0.111").body
        #expect(bench.ask(.port(of: .portmapper), from: peer) == [PortmapperResult.port(111).body])
        #expect(bench.ask(.address(of: .portmapper, as: .v3), from: peer) == [address])
        #expect(bench.ask(.address(of: .portmapper, version: 9), from: peer) == [address])
        #expect(bench.ask(.versionAddress(of: .portmapper, version: 4), from: peer) == [address])
        #expect(
            bench.ask(.versionAddress(of: .portmapper, version: 5), from: peer) == [PortmapperResult.address("").body])
        #expect(bench.asked == [])
    }

    @Test("has no port over other protocols")
    func otherProtocol() {
        let bench = Bench.started([.sample()])
        let call = PortmapperCall.getPort(Mapping(program: .portmapper, version: 2, protocolNumber: 132, port: 0))
        #expect(bench.ask(call, from: .named) == [PortmapperResult.port(0).body])
    }

    @Test("is not for strangers")
    func stranger() {
        let bench = Bench.started([.sample()])
        #expect(bench.ask(.port(of: .portmapper), from: .stranger) == [])
        #expect(bench.denials == [.stranger])
    }
}
