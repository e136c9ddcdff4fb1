import Addresses
import Calls
import Clock
import Configuration
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Testing

@testable import RpcbindClient

@Suite("portmapper of a server", .serialized)
struct ServerPortmapperTests {
    private static let registrations = [
        RPCB(program: .nfs, version: 3, netID: "tcp", address: "0.0.0.0.8.1", owner: "superuser"),
        RPCB(program: .mountd, version: 3, netID: "udp", address: "0.0.0.0.2.122", owner: "superuser"),
    ]
    private static let mappings = [
        Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 2049),
        Mapping(program: .mountd, version: 3, protocolNumber: 17, port: 634),
    ]
    private static let getPort = Question.port(Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 0))

    /// A client and what it answered; belongs to one event loop.
    private final class Asker {
        var client: RpcbindClient?
        var now = Instant.zero
        var awaited: [Question: EventLoopPromise<RpcbindClient.Answer>] = [:]

        func ask(_ question: Question, on loop: any EventLoop) -> EventLoopFuture<RpcbindClient.Answer> {
            let promise = loop.makePromise(of: RpcbindClient.Answer.self)
            awaited[question] = promise
            client?.ask(question)
            return promise.futureResult
        }
    }

    private struct Running {
        let loop: any EventLoop
        let portmapper: NIOLoopBound<FakePortmapper>
        let asker: NIOLoopBound<Asker>
        let port: UInt16

        func ask(_ question: Question) throws -> RpcbindClient.Answer {
            try loop.flatSubmit { asker.value.ask(question, on: loop) }.wait()
        }

        func versions() throws -> [UInt32] { try loop.submit { portmapper.value.calls.map(\.version) }.wait() }

        func answer(_ replies: @escaping @Sendable (CallHeader) -> [[UInt8]]) throws {
            try loop.submit { portmapper.value.replies = replies }.wait()
        }

        /// Waits until `condition` holds.
        func wait(for condition: @escaping @Sendable (FakePortmapper, Asker) -> Bool) throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while try !loop.submit({ condition(portmapper.value, asker.value) }).wait() {
                try #require(ContinuousClock.now < deadline)
                usleep(200)
            }
        }

        func pass(_ duration: Duration) throws {
            try loop.submit {
                // As the daemon's tick: a longer step would be a stall, which counts to no question's time.
                let end = asker.value.now + duration
                while asker.value.now < end {
                    asker.value.now = min(asker.value.now + .milliseconds(50), end)
                    asker.value.client?.timeAdvanced()
                }
            }.wait()
        }
    }

    /// - Parameter port: asked in place of the fake portmapper's.
    private func running(
        port other: UInt16? = nil, _ configure: @Sendable (inout Settings.Server.Portmapper) -> Void = { _ in },
        _ body: (Running) throws -> Void
    ) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let portmapper = try loop.submit { NIOLoopBound(FakePortmapper(), eventLoop: loop) }.wait()
        try loop.flatSubmit { portmapper.value.listen(on: loop) }.wait()
        var settings = Settings.Server.Portmapper()
        configure(&settings)
        let access = settings
        let (asker, port) = try loop.submit {
            let port = try other ?? UInt16(#require(portmapper.value.port))
            let asker = Asker()
            asker.client = RpcbindClient(
                on: loop, .server("filer1", at: Settings.Endpoint(.v4(0x7f00_0001), port), access),
                clock: { asker.now },
                answered: { question, answer in asker.awaited.removeValue(forKey: question)?.succeed(answer) },
                delivered: {})
            return (NIOLoopBound(asker, eventLoop: loop), port)
        }.wait()
        try body(Running(loop: loop, portmapper: portmapper, asker: asker, port: port))
        try loop.submit {
            asker.value.client?.close()
            asker.value.client = nil
            portmapper.value.close()
        }.wait()
    }

    /// The replies of a portmapper that serves these versions, each with two registrations.
    private static func replies(
        of versions: Set<UInt32>, otherwise body: Reply.Body = .programMismatch(low: 2, high: 2)
    ) -> @Sendable (CallHeader) -> [[UInt8]] {
        { header in
            guard versions.contains(header.version) else { return [Reply(xid: header.xid, body: body).encoded] }
            let result: PortmapperResult =
                switch (header.version, header.procedure) {
                case (2, 3): .port(2049)
                case (2, _): .mappings(mappings)
                case _: .registrations(registrations)
                }
            return [result.reply(xid: header.xid).encoded]
        }
    }

    @Test("is asked over one TCP connection, from the address that is configured")
    func overTCP() throws {
        try running({ $0.source = .v4(0x7f00_0002) }) { running in
            try running.answer(Self.replies(of: [2, 4]))
            #expect(try running.ask(.registry) == .success(.registry(Listing(Self.registrations))))
            #expect(try running.ask(Self.getPort) == .success(.port(2049)))
            #expect(try running.versions() == [4, 2])
            let callers = try running.loop.submit { running.portmapper.value.callers }.wait()
            #expect(callers.map(\.ipAddress) == ["127.0.0.2"])
        }
    }

    @Test(
        "is asked for its list in the newest version that it has, until the connection ends",
        arguments: [Reply.Body.programMismatch(low: 2, high: 2), .procedureUnavailable, .programUnavailable],
        [[UInt32]]([[4], [4, 3], [4, 3, 2]]))
    func versions(refusal: Reply.Body, asked: [UInt32]) throws {
        let served = try #require(asked.last)
        try running { running in
            try running.answer(Self.replies(of: [served], otherwise: refusal))
            guard case .success(.registry(let listing)) = try running.ask(.registry) else {
                return #expect(Bool(false))
            }
            #expect(listing.version.rawValue == served)
            #expect(listing.registrations.map(\.address) == Self.registrations.map(\.address))
            #expect(listing.registrations.map(\.netID) == ["tcp", "udp"])
            #expect(listing.registrations.first?.owner == (served == 2 ? "" : "superuser"))
            #expect(try running.versions() == asked)
            _ = try running.ask(.registry)
            #expect(try running.versions() == asked + [served])
            try running.loop.submit { running.portmapper.value.closeConnections() }.wait()
            #expect(try running.ask(.registry) == .success(.registry(listing)))
            #expect(try running.versions().suffix(asked.count) == asked[...])
        }
    }

    @Test("a refusal names it, and it may have another version next time")
    func noVersion() throws {
        try running { running in
            try running.answer(Self.replies(of: [], otherwise: .programMismatch(low: 5, high: 6)))
            guard case .failure(let failure) = try running.ask(.registry) else { return #expect(Bool(false)) }
            #expect(
                failure.description
                    == "rpcbind gave no result: filer1 (127.0.0.1:\(running.port)): programMismatch(low: 5, high: 6)")
            _ = try running.ask(.registry)
            #expect(try running.versions() == [4, 3, 2, 4, 3, 2])
            // A look-up has one version.
            guard case .failure(.refused) = try running.ask(Self.getPort) else { return #expect(Bool(false)) }
        }
    }

    @Test("one that nobody listens at is named with the reason")
    func refused() throws {
        try BoundPort.withBound { port, _ in
            try running(port: port) { running in
                guard case .failure(let failure) = try running.ask(.registry) else { return #expect(Bool(false)) }
                let name = "filer1 (127.0.0.1:\(port))"
                #expect(failure.description == "rpcbind can't be reached: \(name): Connection refused")
            }
        }
    }

    @Test("after a failed attempt to connect, questions wait for a pause, and one attempt serves them all")
    func pause() throws {
        try BoundPort.withBound { port, descriptor in
            @Sendable func isConnected() -> Bool {
                var listener = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                return poll(&listener, 1, 0) == 1
            }
            try running(port: port) { running in
                guard case .failure(.unreachable) = try running.ask(.registry) else { return #expect(Bool(false)) }
                #expect(listen(descriptor, 8) == 0)
                let answers = try running.loop.submit {
                    [Self.getPort, .registry].map { running.asker.value.ask($0, on: running.loop) }
                }.wait()
                // An attempt would begin at the next turn.
                for _ in 0..<3 { try running.loop.submit {}.wait() }
                #expect(!isConnected())
                try running.pass(.milliseconds(99))
                for _ in 0..<3 { try running.loop.submit {}.wait() }
                #expect(!isConnected())
                try running.pass(.milliseconds(1))
                try running.wait { _, _ in isConnected() }
                try running.pass(.milliseconds(700))
                for answer in answers { #expect(try answer.wait() == .failure(.timedOut)) }
            }
        }
    }

    @Test("an attempt to connect ends with the timeout")
    func unanswered() throws {
        try BoundPort.withBound { port, descriptor in
            // The kernel answers no SYN once the queue of connections that nobody accepts is full.
            #expect(listen(descriptor, 0) == 0)
            let fillers = (0..<3).map { _ in
                let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
                BoundPort.connect(filler, to: port)
                return filler
            }
            defer { for filler in fillers { close(filler) } }
            try running(port: port, { $0.timeout = .milliseconds(150) }) { running in
                let begin = ContinuousClock.now
                guard case .failure(let failure) = try running.ask(.registry) else { return #expect(Bool(false)) }
                let name = "filer1 (127.0.0.1:\(port))"
                #expect(failure.description == "rpcbind can't be reached: \(name): Connection timed out")
                // SwiftNIO alone would try for ten seconds.
                #expect(ContinuousClock.now - begin < .seconds(8))
            }
        }
    }

    @Test("one that falls silent loses its connection, and is asked over a new one")
    func silent() throws {
        try running { running in
            let answer = try running.loop.submit {
                running.asker.value.ask(Self.getPort, on: running.loop)
            }.wait()
            try running.wait { portmapper, _ in portmapper.calls.count == 1 }
            try running.pass(.milliseconds(800))
            #expect(try answer.wait() == .failure(.timedOut))
            try running.wait { portmapper, _ in portmapper.connections.first?.isActive == false }
            try running.answer(Self.replies(of: [2]))
            #expect(try running.ask(Self.getPort) == .success(.port(2049)))
        }
    }

    @Test("one that sends what nobody asked for loses its connection")
    func unasked() throws {
        try running { running in
            try running.answer(Self.replies(of: [2]))
            #expect(try running.ask(Self.getPort) == .success(.port(2049)))
            try running.loop.submit {
                let junk = FakePortmapper.record(PortmapperResult.port(1).reply(xid: 7).encoded)
                running.portmapper.value.connections.first?.writeAndFlush(ByteBuffer(bytes: junk), promise: nil)
            }.wait()
            try running.wait { portmapper, _ in portmapper.connections.first?.isActive == false }
            #expect(try running.ask(Self.getPort) == .success(.port(2049)))
        }
    }
}
