import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct ListenerTests {
        struct Case: Sendable {
            let address: String
            var v6Only = false
            var device: String?
            let ipv4: Bool
            let ipv6: Bool
        }

        static let cases = [
            Case(address: "127.0.0.1", ipv4: false, ipv6: false),
            Case(address: "127.8.9.10", ipv4: false, ipv6: false),
            Case(address: "::1", ipv4: false, ipv6: false),
            Case(address: "::ffff:127.0.0.1", ipv4: false, ipv6: false),
            Case(address: "0.0.0.0", device: "lo", ipv4: false, ipv6: false),
            Case(address: "::", device: "lo", ipv4: false, ipv6: false),
            Case(address: "0.0.0.0", ipv4: true, ipv6: false),
            Case(address: "192.0.2.1", ipv4: true, ipv6: false),
            Case(address: "::ffff:192.0.2.1", ipv4: true, ipv6: false),
            Case(address: "::", v6Only: true, ipv4: false, ipv6: true),
            Case(address: "2001:db8::1", ipv4: false, ipv6: true),
            Case(address: "::", ipv4: true, ipv6: true),
        ]

        @Test("tells for which families a socket listens to other hosts", arguments: cases, Transport.allCases)
        func tells(listener: Case, transport: Transport) throws {
            try inFreshNamespace {
                _ = shell("ip addr add 192.0.2.1/24 dev lo; ip addr add 2001:db8::1/64 dev lo nodad")
                let service = ServicePort(transport, 4045)
                let listeners = try Listeners()
                #expect(try !listeners.isListening(service, ipv4: true))
                #expect(try !listeners.isListening(service, ipv4: false))
                let socket = try TestSocket(service, listener.address, v6Only: listener.v6Only, device: listener.device)
                defer { withExtendedLifetime(socket) {} }
                #expect(try listeners.isListening(service, ipv4: true) == listener.ipv4)
                #expect(try listeners.isListening(service, ipv4: false) == listener.ipv6)
                let others = Set(Transport.allCases.flatMap { [ServicePort($0, 4045), ServicePort($0, 4046)] })
                var expected = Dictionary(uniqueKeysWithValues: others.map { ($0, [false, false]) })
                expected[service] = [listener.ipv4, listener.ipv6]
                #expect(try listeners.listening(others).families == expected)
                // Too many ports to look up one by one.
                let many = others.union((5000...5009).map { ServicePort(transport, $0) })
                #expect(try listeners.listening(many).filter { others.contains($0.key) }.families == expected)
                #expect(try listeners.listening([service]).families == [service: expected[service]])
            }
        }

        @Test(
            "tells whose a socket is, and which: however it is looked for, and never as another",
            arguments: Transport.allCases)
        func identity(transport: Transport) throws {
            try inFreshNamespace {
                let service = ServicePort(transport, 4045)
                let many = Set((5000...5009).map { ServicePort(transport, $0) }).union([service])
                let listeners = try Listeners()
                var cookies: Set<UInt64> = []
                for _ in 0..<3 {
                    let socket = try TestSocket(service, "::")
                    let found = try #require(try listeners.listening([service])[service]?.sockets)
                    #expect(found.count == 1 && found.allSatisfy { $0.uid == geteuid() })
                    #expect(try listeners.listening(many)[service]?.sockets == found)
                    cookies.formUnion(found.map(\.cookie))
                    withExtendedLifetime(socket) {}
                }
                #expect(cookies.count == 3 && !cookies.contains(0))
            }
        }

        @Test(
            "a dump makes the kernel report the sockets at the asked ports alone, however many ports there are",
            arguments: Transport.allCases)
        func ports(transport: Transport) throws {
            try inFreshNamespace {
                // The first and last ports of dumps, and neighbours that nothing asks for.
                let asked = Array(5000..<5000 + UInt16(SocketDiagnosis.portsMax) * 2 + 1)
                let next = 5000 + UInt16(SocketDiagnosis.portsMax)
                let listening = [4999, 5000, next - 1, next, asked.last ?? 0, (asked.last ?? 0) + 1]
                let sockets = try listening.map { try TestSocket(ServicePort(transport, $0), "0.0.0.0") }
                defer { withExtendedLifetime(sockets) {} }
                var reported: [UInt16] = []
                let query = SocketDiagnosis.query(transport, AF_INET, port: 0, states: .max)
                try SocketDiagnosis().dump("asking", query, ports: asked) { payload in
                    if let listener = Listener(payload) { reported.append(listener.port) }
                }
                #expect(reported.sorted() == listening.dropFirst().dropLast())
                let states = try Listeners().listening(Set(asked.map { ServicePort(transport, $0) }))
                #expect(states.count == asked.count)
                #expect(Set(states.filter { $0.value.ipv4 }.map(\.key.port)) == Set(reported))
            }
        }

        @Test("doesn't count a socket that is connected", arguments: Transport.allCases)
        func connected(transport: Transport) throws {
            try inFreshNamespace {
                _ = shell("ip addr add 192.0.2.1/24 dev lo")
                let service = ServicePort(transport, 4045)
                let peer = try TestSocket(ServicePort(transport, 4046), "192.0.2.1")
                let socket = try TestSocket(connectedTo: ServicePort(transport, 4046), "192.0.2.1", from: service)
                defer { withExtendedLifetime((peer, socket)) {} }
                #expect(try !Listeners().isListening(service, ipv4: true))
                #expect(try Listeners().listening([service]) == [service: ListenerState()])
            }
        }
    }
}

extension [ServicePort: ListenerState] {
    /// Whether IPv4 and IPv6 clients reach each port.
    fileprivate var families: [ServicePort: [Bool]] { mapValues { [$0.ipv4, $0.ipv6] } }
}

extension Listeners {
    func isListening(_ service: ServicePort, ipv4: Bool) throws -> Bool {
        let state = try listening([service])[service]
        return (ipv4 ? state?.ipv4 : state?.ipv6) ?? false
    }
}
