import Addresses
import ONCRPC
import Portmapper
import Testing

@testable import Probes

@Suite("the probe of a service") struct ServiceProbeTests {
    private typealias Finding = ServiceProbe.Finding

    private static let four = IPAddress.v4(0x0a00_0001)
    private static let six = IPAddress.v6(IPv6Bits(0xfd77 << 112 | 1))
    private static let nfs = ProbeSubject(program: .nfs, version: 3, transport: .tcp)

    private static func told(_ result: PortmapperResult) -> ServiceProbe.End {
        .reply(.success(results: result.encoded))
    }

    /// The finding after these ends, which are used up.
    private static func finding(_ ends: [ServiceProbe.End], at host: IPAddress = four) -> Finding? {
        var probe = ServiceProbe(nfs, at: host)
        for (index, end) in ends.enumerated() {
            switch probe.ended(end) {
            case .found(let finding): return index + 1 == ends.count ? finding : nil
            case .ask, .call: continue
            }
        }
        return nil
    }

    @Test("asks by GETPORT of version 2, and calls the port told")
    func asksOverIPv4() {
        var probe = ServiceProbe(Self.nfs, at: Self.four)
        #expect(probe.first == .ask(.getPort(Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 0))))
        #expect(probe.ended(Self.told(.port(2049))) == .call(port: 2049))
        #expect(probe.ended(.reply(.success(results: []))) == .found(Finding(.open, port: 2049)))
    }

    @Test("asks over IPv6 by GETADDR of version 4, with the address by which the host is known; the port told counts")
    func asksOverIPv6() {
        let subject = ProbeSubject(program: .nfs, version: 3, transport: .udp)
        var probe = ServiceProbe(subject, at: Self.six)
        let rpcb = RPCB(program: .nfs, version: 3, netID: "udp6", address: "fd77::1.0.111", owner: "")
        #expect(probe.first == .ask(.getAddress(.v4, rpcb)))
        #expect(probe.ended(.reply(.mismatch(2...3))) == .ask(.getAddress(.v3, rpcb)))
        #expect(probe.ended(Self.told(.address("::.8.1"))) == .call(port: 2049))
    }

    @Test(
        "a portmapper without version 4 and 3 tells nothing",
        arguments: [
            ReplyStatus.mismatch(2...2), .unsuccessful(.programUnavailable), .unsuccessful(.procedureUnavailable),
        ])
    func oldPortmapper(status: ReplyStatus) {
        #expect(Self.finding([.reply(status)], at: Self.six) == nil)
        #expect(Self.finding([.reply(status), .reply(status)], at: Self.six)?.verdict == .unregistered)
    }

    private static let lookups: [(ServiceProbe.End, Finding)] = [
        (.silence, Finding(.silent)),
        (.closed, Finding(.silent, detail: "port 111 closes the connection")),
        (.refused("Connection refused"), Finding(.silent, detail: "port 111: Connection refused")),
        (.reply(.denied(7)), Finding(.denied, detail: "the portmapper answers AUTH_FAILED")),
        (.reply(.denied(13)), Finding(.denied, detail: "the portmapper answers AUTH_ERROR 13")),
        (.reply(.denied(nil)), Finding(.denied, detail: "the portmapper answers MSG_DENIED")),
        (told(.port(0)), Finding(.unregistered)),
        (told(.port(70_000)), Finding(.unregistered, detail: "port 111 answers no port number")),
        (.reply(.success(results: [1, 2])), Finding(.unregistered, detail: "port 111 answers no port number")),
        (
            .reply(.success(results: [0, 0, 8, 1, 9])),
            Finding(.unregistered, detail: "port 111 answers no port number")
        ),
        (.reply(.broken), Finding(.unregistered, detail: "port 111 answers what is no RPC reply")),
        (.reply(.mismatch(3...4)), Finding(.unregistered, detail: "port 111 answers PROG_MISMATCH")),
        (.reply(.unsuccessful(.systemError)), Finding(.unregistered, detail: "port 111 answers SYSTEM_ERR")),
    ]

    @Test("without a port told the portmapper's answer decides", arguments: lookups)
    func lookup(end: ServiceProbe.End, finding: ServiceProbe.Finding) {
        #expect(Self.finding([end]) == finding)
    }

    @Test(
        "an address that is none, or empty, tells no port",
        arguments: [("", nil), ("fd77::1", "no"), ("1.2.3.4.999.1", "no")])
    func addresses(text: String, detail: String?) {
        let finding = Self.finding([Self.told(.address(text))], at: Self.six)
        #expect(finding?.verdict == .unregistered && (finding?.detail == nil) == (detail == nil))
    }

    private static let calls: [(ServiceProbe.End, Finding)] = [
        (.reply(.mismatch(4...4)), Finding(.open, port: 9, detail: "serves version 4, not 3")),
        (.reply(.mismatch(1...2)), Finding(.open, port: 9, detail: "serves versions 1 to 2, not 3")),
        (.reply(.mismatch(nil)), Finding(.open, port: 9)),
        (.reply(.denied(5)), Finding(.denied, port: 9, detail: "the service answers AUTH_TOOWEAK")),
        (.silence, Finding(.shut, port: 9)),
        (.closed, Finding(.shut, port: 9, detail: "the port closes the connection")),
        (.refused("No route to host"), Finding(.shut, port: 9, detail: "No route to host")),
        (.reply(.broken), Finding(.shut, port: 9, detail: "the port answers what is no RPC reply")),
        (.reply(.unsuccessful(.programUnavailable)), Finding(.shut, port: 9, detail: "another program answers there")),
        (.reply(.unsuccessful(.systemError)), Finding(.shut, port: 9, detail: "the port answers SYSTEM_ERR")),
    ]

    @Test("with a port told the answer to the NULL call decides", arguments: calls)
    func call(end: ServiceProbe.End, finding: ServiceProbe.Finding) {
        #expect(Self.finding([Self.told(.port(9)), end]) == finding)
    }

    @Test("what is asked: each program once over each transport, in its usual version or the one given")
    func subjects() {
        let usual = ProbeSubject.all([], over: [.tcp])
        #expect(usual.map(\.program) == [.nfs, .mountd, .nlockmgr, .status] && usual.map(\.version) == [3, 3, 4, 1])
        let named = ProbeSubject.all([(.nfs, nil), (.nfs, 4), (.nfs, 3)], over: [.tcp, .udp])
        #expect(named.map(\.version) == [3, 3, 4, 4] && named.map(\.transport) == [.tcp, .udp, .tcp, .udp])
    }
}
