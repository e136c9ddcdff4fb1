import Addresses
import Calls
import Clock
import Configuration
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Testing

@testable import Liveness

@Suite("liveness of a server's service", .serialized, .timeLimit(.minutes(2)))
struct LivenessTests {
    /// So long that no test may wait for it, and so short that a test that does ends and fails.
    private static let patience: Duration = .seconds(60)

    private struct Running {
        let loop: any EventLoop
        let tcp: NIOLoopBound<FakePortmapper>
        let udp: NIOLoopBound<DatagramResponder>
        let liveness: NIOLoopBound<Liveness>
        let tcpPort: UInt16
        let udpPort: UInt16

        func question(_ transport: Transport, port: UInt16? = nil) -> LivenessQuestion {
            LivenessQuestion(
                address: .v4(0x7f00_0001),
                service: ServicePort(transport, port ?? (transport == .tcp ? tcpPort : udpPort)), program: .mountd,
                version: 3)
        }

        func look(
            _ questions: [LivenessQuestion], _ how: Settings.Server.Liveness = .call, timeout: Duration = patience,
            source: IPAddress? = nil
        ) throws -> [LivenessQuestion: LivenessAnswer] {
            try loop.flatSubmit {
                let promise = loop.makePromise(of: [LivenessQuestion: LivenessAnswer].self)
                liveness.value.look(questions, how: how, timeout: timeout, source: source) { promise.succeed($0) }
                return promise.futureResult
            }.wait()
        }

        func ask(_ question: LivenessQuestion, _ how: Settings.Server.Liveness = .call) throws -> LivenessAnswer? {
            try look([question], how)[question]
        }

        /// How both responders answer.
        func answer(_ replies: @escaping @Sendable (CallHeader) -> [[UInt8]]) throws {
            try loop.submit {
                tcp.value.replies = replies
                udp.value.replies = replies
            }.wait()
        }
    }

    @Test("what this host can't send makes no service dead for later looks", arguments: [Transport.tcp, .udp])
    func ownFailure(transport: Transport) throws {
        try running { running in
            try running.answer { [Reply(xid: $0.xid, body: .success([])).encoded] }
            let question = running.question(transport)
            // No address of this host's.
            let failed = try running.look([question], source: .v4(0xc000_024d))
            #expect(failed == [question: .dead])
            #expect(try running.ask(question) == .alive)
        }
    }

    private func running(_ body: (Running) throws -> Void) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let (tcp, udp, liveness) = try loop.submit {
            (
                NIOLoopBound(FakePortmapper(), eventLoop: loop), NIOLoopBound(DatagramResponder(), eventLoop: loop),
                NIOLoopBound(Liveness(on: loop, clock: { .zero }), eventLoop: loop)
            )
        }.wait()
        try loop.flatSubmit { tcp.value.listen(on: loop).flatMap { udp.value.listen(on: loop) } }.wait()
        let ports = try loop.submit { (tcp.value.port, udp.value.port) }.wait()
        try body(
            Running(
                loop: loop, tcp: tcp, udp: udp, liveness: liveness, tcpPort: UInt16(try #require(ports.0)),
                udpPort: UInt16(try #require(ports.1))))
        try loop.submit {
            liveness.value.close()
            tcp.value.close()
            udp.value.close()
        }.wait()
    }

    private static let verdicts: [(Reply.Body, LivenessAnswer)] = [
        (.programUnavailable, .dead), (.procedureUnavailable, .dead), (.garbageArguments, .dead),
        (.systemError, .dead), (.success([]), .alive), (.programMismatch(low: 1, high: 2), .alive),
        (.authError(.tooWeak), .alive), (.rpcMismatch(low: 2, high: 2), .alive),
    ]

    @Test("is told by the reply to a NULL call", arguments: [Transport.tcp, .udp], verdicts)
    func replies(transport: Transport, verdict: (body: Reply.Body, answer: LivenessAnswer)) throws {
        try running { running in
            let body = verdict.body
            try running.answer { [Reply(xid: $0.xid, body: body).encoded] }
            #expect(try running.ask(running.question(transport)) == verdict.answer)
            let calls = try running.loop.submit {
                (transport == .tcp ? running.tcp.value.calls : running.udp.value.calls)
                    .map { [$0.program, $0.version, $0.procedure] }
            }.wait()
            #expect(calls == [[Program.mountd.rawValue, 3, 0]])
        }
    }

    @Test("bytes that are no reply are no service; an unknown refusal is one", arguments: [Transport.tcp, .udp])
    func garbage(transport: Transport) throws {
        try running { running in
            // The call itself, as an echo sends it back.
            try running.answer { header in
                var encoder = XDREncoder()
                header.encode(into: &encoder)
                return [encoder.bytes]
            }
            #expect(try running.ask(running.question(transport)) == .dead)
        }
        try running { running in
            try running.answer { header in
                var encoder = XDREncoder()
                for word in [header.xid, 1, 1, 1, 13] { encoder.uint32(word) }  // RFC 2203: RPCSEC_GSS_CREDPROBLEM
                return [encoder.bytes]
            }
            #expect(try running.ask(running.question(transport)) == .alive)
        }
    }

    @Test("a record too long for a reply is none, and a connection that ends before one")
    func streams() throws {
        try running { running in
            try running.answer { _ in [[UInt8](repeating: 0, count: 70_000)] }
            #expect(try running.ask(running.question(.tcp)) == .dead)
        }
        try running { running in
            let loop = running.loop
            let tcp = running.tcp
            try running.answer { _ in
                loop.execute { tcp.value.closeConnections() }
                return []
            }
            #expect(try running.ask(running.question(.tcp)) == .dead)
        }
    }

    @Test("the connection is closed after the reply")
    func closesConnection() throws {
        try running { running in
            try running.answer { [Reply(xid: $0.xid, body: .success([])).encoded] }
            #expect(try running.ask(running.question(.tcp)) == .alive)
            while try running.loop.submit({ running.tcp.value.connections.first?.isActive }).wait() != false {
                usleep(200)
            }
        }
    }

    @Test("a port at which nobody listens has none, and that is known at once")
    func refused() throws {
        let begin = ContinuousClock.now
        defer { #expect(ContinuousClock.now - begin < Self.patience) }
        try running { running in
            try BoundPort.withBound { port, _ in
                let answer = try running.ask(running.question(.tcp, port: port))
                #expect(answer == .refused)
            }
            try BoundPort.withBound { port, _ in
                let answer = try running.ask(running.question(.tcp, port: port), .connect)
                #expect(answer == .refused)
            }
            try BoundPort.withDeafDatagramSocket { port in
                let answer = try running.ask(running.question(.udp, port: port))
                #expect(answer == .refused)
            }
        }
    }

    @Test("a datagram that is lost is sent again, and silence is no service", arguments: [Transport.udp, .tcp])
    func silence(transport: Transport) throws {
        try running { running in
            let question = running.question(transport)
            let answers = try running.look([question], timeout: .milliseconds(30))
            #expect(answers == [question: .dead])
        }
        guard transport == .udp else { return }
        try running { running in
            let udp = running.udp
            try running.answer { header in
                // The responder records a call before it answers.
                udp.value.calls.count == 2 ? [Reply(xid: header.xid, body: .success([])).encoded] : []
            }
            #expect(try running.ask(running.question(.udp)) == .alive)
            let xids = try running.loop.submit { udp.value.calls.map(\.xid) }.wait()
            #expect(xids.count == 2 && Set(xids).count == 1)
        }
    }

    @Test("replies of other senders, and those to another call, are nobody's")
    func forged() throws {
        try running { running in
            try running.answer {
                [
                    Reply(xid: $0.xid &+ 1, body: .programUnavailable).encoded,
                    Reply(xid: $0.xid, body: .success([])).encoded,
                ]
            }
            try running.loop.submit {
                running.udp.value.forgery = { Reply(xid: $0.xid, body: .programUnavailable).encoded }
            }.wait()
            #expect(try running.ask(running.question(.udp)) == .alive)
            #expect(try running.loop.submit { running.udp.value.forgeries }.wait() == 1)
        }
    }

    @Test(
        "a forged refusal of a datagram keeps no answer away", .enabled(if: geteuid() == 0), arguments: [true, false])
    func forgedRefusal(isAnswered: Bool) throws {
        try running { running in
            let (udp, port) = (running.udp, running.udpPort)
            try running.answer { header in
                if let caller = udp.value.callers.last?.port { forgeRefusal(from: UInt16(caller), to: port) }
                return isAnswered ? [Reply(xid: header.xid, body: .success([])).encoded] : []
            }
            #expect(try running.ask(running.question(.udp)) == (isAnswered ? .alive : .refused))
        }
    }

    @Test("a connection suffices, where that is configured, and UDP is not asked then")
    func connect() throws {
        try running { running in
            let (tcp, udp) = (running.question(.tcp), running.question(.udp))
            #expect(try running.look([tcp, udp], .connect) == [tcp: .alive, udp: .alive])
            let calls = try running.loop.submit {
                running.tcp.value.calls.count + running.udp.value.calls.count
            }.wait()
            #expect(calls == 0)
        }
    }

    @Test("is asked from the address that is configured", arguments: [Transport.tcp, .udp])
    func source(transport: Transport) throws {
        try running { running in
            try running.answer { [Reply(xid: $0.xid, body: .success([])).encoded] }
            let question = running.question(transport)
            #expect(try running.look([question], source: .v4(0x7f00_0002)) == [question: .alive])
            let callers = try running.loop.submit { running.tcp.value.callers + running.udp.value.callers }.wait()
            #expect(callers.map(\.ipAddress) == ["127.0.0.2"])
        }
    }

    @Test("thousands of questions that fail at once are all answered", arguments: [Transport.tcp, .udp])
    func failures(transport: Transport) throws {
        try running { running in
            let questions = (1...4000).map { running.question(transport, port: UInt16($0)) }
            // An address that is not this host's.
            let answers = try running.look(questions, source: .v4(0xc000_0201))
            #expect(answers.count == 4000 && answers.values.allSatisfy { $0 == .dead })
        }
    }

    @Test("nobody is answered after the end")
    func ended() throws {
        try running { running in
            let isAnswered = try running.loop.submit {
                let answered = NIOLoopBoundBox(false, eventLoop: running.loop)
                running.liveness.value.look(
                    [running.question(.udp)], how: .call, timeout: Self.patience, source: nil
                ) { _ in answered.value = true }
                running.liveness.value.close()
                return answered
            }.wait()
            #expect(try running.loop.submit { isAnswered.value }.wait() == false)
        }
    }
}

/// Sends this host "port unreachable" (RFC 792) about a datagram between its ports, as any other host could.
private func forgeRefusal(from source: UInt16, to destination: UInt16) {
    let loopback: [UInt8] = [127, 0, 0, 1]
    var datagram: [UInt8] = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, UInt8(IPPROTO_UDP), 0, 0] + loopback + loopback
    for word in [source, destination, 8, 0] { datagram += [UInt8(word >> 8), UInt8(word & 255)] }
    var message: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0] + datagram
    var sum = stride(from: 0, to: message.count, by: 2).reduce(0) {
        $0 + UInt32(message[$1]) << 8 + UInt32(message[$1 + 1])
    }
    sum = (sum & 0xffff) + sum >> 16
    let checksum = ~UInt16(truncatingIfNeeded: sum + sum >> 16)
    (message[2], message[3]) = (UInt8(checksum >> 8), UInt8(checksum & 255))
    let descriptor = socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_ICMP))
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let sent = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            sendto(descriptor, message, message.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    #expect(sent == message.count)
}
