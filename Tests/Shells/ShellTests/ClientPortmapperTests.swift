import Addresses
import Calls
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Testing

@testable import Liveness

@Suite("the portmapper of a client that a server calls back") struct ClientPortmapperTests {
    private static let patience: Duration = .seconds(20)

    /// Asks a portmapper on loopback that answers with these messages.
    private func ask(
        over transport: Transport, timeout: Duration = patience,
        _ replies: @escaping @Sendable (CallHeader) -> [[UInt8]]
    ) throws -> (answer: Result<UInt16, RpcbindFailure>, calls: [CallHeader]) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let (tcp, udp) = try loop.submit {
            (NIOLoopBound(FakePortmapper(), eventLoop: loop), NIOLoopBound(DatagramResponder(), eventLoop: loop))
        }.wait()
        try loop.flatSubmit { tcp.value.listen(on: loop).flatMap { udp.value.listen(on: loop) } }.wait()
        let answered = loop.makePromise(of: Result<UInt16, RpcbindFailure>.self)
        let asking = try loop.submit {
            (tcp.value.replies, udp.value.replies) = (replies, replies)
            let port = transport == .tcp ? tcp.value.port : udp.value.port
            let portmappers = ClientPortmappers(on: loop, port: UInt16(port ?? 0)) { answered.succeed($1) }
            let call = PortmapperCall.getPort(Mapping(program: .nlockmgr, version: 4, protocolNumber: 6, port: 0))
            let lookUp = call.lookUp(
                from: Peer(
                    address: .v4(1), port: 700, transport: transport,
                    asked: UniversalAddress(host: .v4(0x7f00_0001), port: 111), channel: 1))
            let question = lookUp.flatMap { ClientQuestion($0, of: .v4(0x7f00_0001), over: transport) }
            if let question {
                portmappers.ask(question, timeout: timeout)
                // An equal one is under way.
                portmappers.ask(question, timeout: timeout)
            }
            return NIOLoopBound(portmappers, eventLoop: loop)
        }.wait()
        let answer = try answered.futureResult.wait()
        let calls = try loop.submit {
            asking.value.close()
            tcp.value.close()
            udp.value.close()
            return tcp.value.calls + udp.value.calls
        }.wait()
        return (answer, calls)
    }

    @Test("is asked once by GETPORT, over the transport of the server's call", arguments: [Transport.tcp, .udp])
    func asked(over transport: Transport) throws {
        let (answer, calls) = try ask(over: transport) { [PortmapperResult.port(4045).reply(xid: $0.xid).encoded] }
        #expect(answer == .success(4045))
        #expect(calls.map { [$0.program, $0.version, $0.procedure] } == [[100_000, 2, 3]])
    }

    @Test("tells that nothing is registered, refuses, or tells no port", arguments: [Transport.tcp, .udp])
    func refused(over transport: Transport) throws {
        #expect(
            try ask(over: transport) { [PortmapperResult.port(0).reply(xid: $0.xid).encoded] }.answer == .success(0))
        for body in [
            Reply.Body.authError(.failed), .programUnavailable, PortmapperResult.port(70_000).reply(xid: 1).body,
        ] {
            let answer = try ask(over: transport) { [Reply(xid: $0.xid, body: body).encoded] }.answer
            guard case .failure(.refused) = answer else { Issue.record("\(answer)"); continue }
        }
    }

    @Test("a datagram that is lost is sent again once; silence is a failure", arguments: [Transport.tcp, .udp])
    func silent(over transport: Transport) throws {
        let (answer, calls) = try ask(over: transport, timeout: .milliseconds(400)) { _ in [] }
        #expect(answer == .failure(.timedOut))
        #expect(calls.count == (transport == .udp ? 2 : 1))
    }

    @Test("a stall of this process makes no answer late that waits in the socket", arguments: [Transport.tcp, .udp])
    func stalled(over transport: Transport) throws {
        let (answer, _) = try ask(over: transport, timeout: .milliseconds(300)) {
            // The portmapper shares the loop of the client.
            usleep(700_000)
            return [PortmapperResult.port(4045).reply(xid: $0.xid).encoded]
        }
        #expect(answer == .success(4045))
    }

    @Test("messages to another call are nobody's")
    func foreign() throws {
        let answer = try ask(over: .udp) {
            [
                PortmapperResult.port(1).reply(xid: $0.xid &+ 1).encoded,
                [0], PortmapperResult.port(4045).reply(xid: $0.xid).encoded,
            ]
        }.answer
        #expect(answer == .success(4045))
    }

    @Test("a client of IPv6 is asked by GETADDR of version 3, and its port counts alone")
    func addresses() throws {
        let peer = Peer(
            address: .v6(1), port: 700, transport: .udp, asked: UniversalAddress(host: .v6(2), port: 111), channel: 1)
        let asked = PortmapperCall.getAddress(
            .v4, RPCB(program: .status, version: 1, netID: "udp6", address: "", owner: ""))
        let question = try #require(asked.lookUp(from: peer).flatMap { ClientQuestion($0, of: .v6(2), over: .udp) })
        let call = question.call
        #expect(call.version == .v3 && call.procedureName == .getAddress)
        for (text, port) in [("::.2.150", 662), ("fd00::9.2.150", 662), ("", 0)] {
            let bytes = PortmapperResult.address(text).reply(xid: 7).encoded
            let answer = bytes.withUnsafeBytes { ClientPortmappers.answer(in: $0, to: call, xid: 7) }
            #expect(answer == .success(UInt16(port)))
        }
        let bytes = PortmapperResult.address("no address").reply(xid: 7).encoded
        let answer = bytes.withUnsafeBytes { ClientPortmappers.answer(in: $0, to: call, xid: 7) }
        guard case .failure(.refused)? = answer else {
            Issue.record("\(String(describing: answer))")
            return
        }
    }
}
