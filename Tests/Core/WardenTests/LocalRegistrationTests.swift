import Addresses
import Calls
import Configuration
import CoreSamples
import Portmapper
import Testing

@Suite("local registration") struct LocalRegistrationTests {
    private static let settings = Settings().with { $0.rpcbind.permitsLocalRegistration = true }

    private static func mapping(
        _ program: Program = .quota, _ protocolNumber: UInt32 = 6, port: UInt32 = 875
    ) -> Mapping {
        Mapping(program: program, version: 1, protocolNumber: protocolNumber, port: port)
    }

    private static func rpcb(_ netID: String, _ address: String, _ program: Program = .quota) -> RPCB {
        RPCB(program: program, version: 1, netID: netID, address: address, owner: "superuser")
    }

    private static let set = PortmapperCall.set(.v4, rpcb("tcp", "0.0.0.0.3.107"))

    @Test("of anybody but root, and of whom the kernel doesn't know, is denied and asks rpcbind nothing")
    func others() {
        for (owner, detail) in [
            (1000, "the socket is of uid 1000"), (65_534, "the socket is of uid 65534"),
            (nil, "nobody, or more than one user, may have sent it"),
        ] as [(UInt32?, String)] {
            for peer in [Peer.loopback, .loopback.over(.tcp)] {
                let bench = Bench.started(settings: Self.settings)
                bench.owner = owner
                bench.call(Self.set, from: peer)
                #expect(bench.ownersAsked == [peer])
                #expect((bench.asked, bench.denials) == ([], [.remoteRegistration]))
                #expect(bench.events(.denied).map(\.detail) == [detail])
                #expect(bench.isQuiet)
            }
        }
    }

    @Test("without the setting nobody's socket is looked at")
    func off() {
        let bench = Bench.started()
        bench.call(Self.set, from: .loopback.over(.tcp))
        #expect((bench.asked, bench.denials, bench.ownersAsked) == ([], [.remoteRegistration], []))
    }

    @Test("of root is guarded and usable at once, and withdrawn by root")
    func root() {
        let bench = Bench.started([.sample(to: [.quota])], settings: Self.settings)
        bench.rpcbind.registrar = "102"
        #expect(bench.ask(Self.set, from: .loopback) == [PortmapperResult.boolean(true).body])
        #expect(bench.kernel.guarded.contains(.tcp(875)))
        #expect(bench.ask(.port(of: .quota, version: 1), from: .named) == [PortmapperResult.port(875).body])
        #expect(bench.kernel.opens(.tcp(875), to: Peer.named.address))
    }

    @Test(
        "goes upstream built anew: an address in its netid's family, and nothing of the owner",
        arguments: [
            (set, .set(.v4, RPCB(program: .quota, version: 1, netID: "tcp", address: "0.0.0.0.3.107", owner: ""))),
            (
                .set(.v4, rpcb("tcp", "0:0:0:0:0:0:0:0.8.1")),
                .set(.v4, RPCB(program: .quota, version: 1, netID: "tcp", address: "0.0.0.0.8.1", owner: ""))
            ),
            (
                .set(.v3, rpcb("udp6", "0.0.0.0.8.1")),
                .set(.v3, RPCB(program: .quota, version: 1, netID: "udp6", address: "::.8.1", owner: ""))
            ),
            (
                .unset(.v4, rpcb("", "anything")),
                .unset(.v4, RPCB(program: .quota, version: 1, netID: "", address: "", owner: ""))
            ),
            (.setMapping(mapping()), .setMapping(mapping())),
            (.unsetMapping(mapping(port: 9)), .unsetMapping(mapping(port: 0))),
            (.unsetMapping(mapping(.quota, 0)), .unsetMapping(mapping(port: 0))),
        ] as [(PortmapperCall, PortmapperCall)])
    func rebuilt(call: PortmapperCall, expected: PortmapperCall) {
        let bench = Bench.started(settings: Self.settings)
        bench.call(call, from: .loopback.over(.tcp))
        #expect(bench.asked.filter { $0 != .registry } == [.registration(expected)])
    }

    @Test(
        "of what nobody may register, or what is no service's place, is answered false",
        arguments: [
            .set(.v4, rpcb("tcp", "0.0.0.0.0.111", .portmapper)), .setMapping(mapping(.portmapper, 6, port: 4000)),
            .unsetMapping(mapping(.portmapper)), .unset(.v4, rpcb("", "", .portmapper)),
            .set(.v4, rpcb("local", "/run/quota.sock")), .set(.v4, rpcb("rdma", "0.0.0.0.78.53")),
            .set(.v4, rpcb("tcp", "0.0.0.0.0.0")), .set(.v4, rpcb("tcp", "somewhere")),
            .set(.v4, rpcb("", "0.0.0.0.8.1")), .unset(.v4, rpcb("local", "")),
            .setMapping(mapping(.quota, 132)), .setMapping(mapping(port: 0)), .setMapping(mapping(port: 65_536)),
        ] as [PortmapperCall])
    func refused(call: PortmapperCall) {
        let bench = Bench.started(settings: Self.settings)
        #expect(bench.ask(call, from: .loopback.over(.tcp)) == [PortmapperResult.boolean(false).body])
        #expect(bench.asked == [])
    }
}
