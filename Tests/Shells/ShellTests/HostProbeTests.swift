import Addresses
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Probes
import Testing

@testable import Liveness

@Suite("the probe of a host") struct HostProbeTests {
    private static let patience: Duration = .seconds(20)
    private static let loopback = IPAddress.v4(0x7f00_0001)

    private static func subjects(_ programs: Program..., over transport: Transport) -> [ProbeSubject] {
        ProbeSubject.all(programs.map { ($0, nil) }, over: [transport])
    }

    /// Probes a host on loopback whose portmapper and services answer with these messages.
    /// - Parameter replies: gets the number of the call, the call, and the port of portmapper and services.
    private func probe(
        _ subjects: [ProbeSubject], timeout: Duration = patience,
        _ replies: @escaping @Sendable (_ number: Int, CallHeader, _ port: UInt32) -> [[UInt8]]?
    ) throws -> (answers: [HostProbe.Answer], calls: [CallHeader]) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let (tcp, udp) = try loop.submit {
            (NIOLoopBound(FakePortmapper(), eventLoop: loop), NIOLoopBound(DatagramResponder(), eventLoop: loop))
        }.wait()
        try loop.flatSubmit { tcp.value.listen(on: loop).flatMap { udp.value.listen(on: loop) } }.wait()
        let port = try loop.submit {
            let port = (subjects[0].transport == .tcp ? tcp.value.port : udp.value.port) ?? 0
            let (portmapper, responder) = (tcp.value, udp.value)
            // `nil` closes the connections.
            portmapper.replies = { header in
                if let replies = replies(portmapper.calls.count, header, UInt32(port)) { return replies }
                portmapper.closeConnections()
                return []
            }
            responder.replies = { replies(responder.calls.count, $0, UInt32(port)) ?? [] }
            return port
        }.wait()
        let answers = try HostProbe.run(
            HostProbe.Host(Self.loopback, port: UInt16(port)), subjects, timeout: timeout)
        let calls = try loop.submit {
            tcp.value.close()
            udp.value.close()
            return tcp.value.calls + udp.value.calls
        }.wait()
        return (answers, calls)
    }

    private static func portmapper(_ header: CallHeader, tells port: UInt32) -> [[UInt8]] {
        let result: PortmapperResult = header.program == 100_000 ? .port(port) : .void
        return [result.reply(xid: header.xid).encoded]
    }

    @Test("asks for the port, and calls it", arguments: [Transport.tcp, .udp])
    func open(over transport: Transport) throws {
        let (answers, calls) = try probe(Self.subjects(.nfs, over: transport)) { Self.portmapper($1, tells: $2) }
        #expect(answers.map(\.finding.verdict) == [.open])
        #expect(calls.map { [$0.program, $0.version, $0.procedure] } == [[100_000, 2, 3], [100_003, 3, 0]])
        #expect(answers.allSatisfy { $0.time > .zero })
    }

    @Test("answers come in the order of the subjects, each for its own")
    func order() throws {
        let subjects = ProbeSubject.all([(.nfs, nil), (.mountd, nil), (.status, nil), (.nlockmgr, nil)], over: [.tcp])
        let (answers, _) = try probe(subjects) { _, header, port in
            // Found by its version: only nlockmgr's is 4.
            if header.program != 100_000 { return [PortmapperResult.void.reply(xid: header.xid).encoded] }
            return [PortmapperResult.port(port).reply(xid: header.xid).encoded]
        }
        #expect(answers.map(\.subject) == subjects)
    }

    @Test("services are asked side by side")
    func sideBySide() throws {
        let subjects = Self.subjects(.nfs, .mountd, .nlockmgr, .status, over: .tcp)
        // Nobody is answered until all have asked.
        let (answers, _) = try probe(subjects) { number, _, _ in number == 4 ? nil : [] }
        #expect(answers.map(\.finding.detail) == Array(repeating: "port 111 closes the connection", count: 4))
    }

    @Test("more services than may be asked at once are asked, too")
    func many() throws {
        let programs = (1...3 * UInt32(HostProbe.atOnceMax)).map { (Program($0), UInt32?.none) }
        let (answers, _) = try probe(ProbeSubject.all(programs, over: [.udp])) { _, header, _ in
            [PortmapperResult.port(0).reply(xid: header.xid).encoded]
        }
        #expect(answers.count == programs.count && answers.allSatisfy { $0.finding.verdict == .unregistered })
    }

    @Test("silence is silent, and a refused connection", arguments: [Transport.tcp, .udp])
    func silent(over transport: Transport) throws {
        let (answers, _) = try probe(Self.subjects(.nfs, over: transport), timeout: .milliseconds(50)) { _, _, _ in [] }
        #expect(answers.map(\.finding) == [.init(.silent)])
        try BoundPort.withDeafDatagramSocket { port in
            let refused = try HostProbe.run(
                HostProbe.Host(Self.loopback, port: port), Self.subjects(.nfs, over: transport), timeout: Self.patience)
            #expect(refused.map(\.finding) == [.init(.silent, detail: "port 111: Connection refused")])
        }
    }

    @Test("bytes that are no reply are no silence, also if the record doesn't end, or is too long")
    func garbage() throws {
        for stream in [
            FakePortmapper.record([1, 2, 3]), FakePortmapper.record(Array(repeating: 0, count: 1025)),
            [0x80, 0, 0, 9, 1], [0],
        ] {
            try withStream(stream) { port in
                let answers = try HostProbe.run(
                    HostProbe.Host(Self.loopback, port: port), Self.subjects(.nfs, over: .tcp),
                    timeout: .milliseconds(200))
                #expect(answers.map(\.finding.verdict) == [.unregistered], "\(stream.prefix(8))")
            }
        }
    }

    @Test("a datagram to another call is nobody's; a broken one to this call is an answer")
    func datagrams() throws {
        let (answers, _) = try probe(Self.subjects(.nfs, over: .udp)) { _, header, port in
            [[0, 0], PortmapperResult.port(1).reply(xid: header.xid &+ 1).encoded]
                + Self.portmapper(header, tells: port)
        }
        #expect(answers.map(\.finding.verdict) == [.open])
        let (broken, _) = try probe(Self.subjects(.nfs, over: .udp)) { _, header, port in
            [Array(PortmapperResult.port(1).reply(xid: header.xid).encoded.prefix(8))]
                + Self.portmapper(header, tells: port)
        }
        #expect(broken.map(\.finding.verdict) == [.unregistered])
    }

    @Test("what this host can't send tells nothing of the other host", arguments: [Transport.tcp, .udp])
    func unsent(over transport: Transport) {
        // An address for documentation is none of this host.
        let host = HostProbe.Host(Self.loopback, source: .v4(0xc000_0201))
        #expect(throws: HostProbe.Failure(reason: "Cannot assign requested address")) {
            try HostProbe.run(host, Self.subjects(.nfs, over: transport), timeout: Self.patience)
        }
    }

    /// A listener that writes these bytes to who connects, and leaves the connection open.
    private func withStream(_ bytes: [UInt8], _ body: (UInt16) throws -> Void) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let listener = try ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.execute { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        try body(UInt16(listener.localAddress?.port ?? 0))
        try listener.close().wait()
    }
}
