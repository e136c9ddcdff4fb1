import Configuration
import Glibc
import NIOCore
import NIOPosix
import Privilege
import Sandbox
import System
import Testing

@testable import Daemon

/// The connector's loop on a thread of this process, without its sandbox.
private final class Rig: Sendable {
    let path = "/tmp/rpcwarden-connector-\(UInt64.random(in: 0 ... .max)).sock"
    let ends: (first: PacketChannel, second: PacketChannel)
    /// The result of the loop's end.
    let end: EventLoopFuture<Void>
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    var loop: any EventLoop { group.next() }

    init() throws {
        let ends = try PacketChannel.pair(messageBytesMax: ConnectorCall.messageBytesMax)
        self.ends = ends
        let promise = group.next().makePromise(of: Void.self)
        end = promise.futureResult
        let code = BlockingCall.start {
            do { try ConnectorProcess(ends.second).serve() } catch { promise.fail(error) }
        }
        try #require(code == 0)
    }

    func client() throws -> NIOLoopBound<ConnectorClient> {
        let (loop, channel, path) = (loop, ends.first, path)
        return try loop.submit {
            NIOLoopBound(try ConnectorClient(channel, Self.rpcbind(path), on: loop), eventLoop: loop)
        }.wait()
    }

    static func rpcbind(_ path: String, timeout: Duration = .milliseconds(800)) -> Settings.Rpcbind {
        var rpcbind = Settings.Rpcbind()
        (rpcbind.socketPath, rpcbind.timeout) = (path, timeout)
        return rpcbind
    }

    func send(_ call: ConnectorCall) throws { try ends.first.send(call.encoded, mayWait: true) }

    /// The other end of the channel is closed, as by a process that ended.
    func down(_ client: NIOLoopBound<ConnectorClient>) throws {
        try loop.flatSubmit { client.value.close() }.wait()
        #expect(throws: Sandbox.Channel.Failure.ended) { try self.end.wait() }
        try group.syncShutdownGracefully()
        unlink(path)
    }

    /// Listens at the path; returns the descriptor.
    func listener() throws -> Int32 {
        let descriptor = try UnixSocket.make(.stream)
        try UnixSocket.bind(descriptor, to: path)
        try #require(listen(descriptor, 4) == 0)
        return descriptor
    }
}

@Suite("the connector") struct ConnectorTests {
    @Test("makes a stream to rpcbind's socket, or says why it can't, and keeps none itself")
    func streams() throws {
        let rig = try Rig()
        let client = try rig.client()
        let connect = { rig.loop.flatSubmit { client.value.connect() } }
        #expect { try connect().wait() } throws: { "\($0)" == "No such file or directory" }
        let listener = try rig.listener()
        let stream = try connect().wait()
        let accepted = accept(listener, nil, nil)
        #expect(write(stream, "ping", 4) == 4)
        var bytes = [UInt8](repeating: 0, count: 8)
        #expect(read(accepted, &bytes, 8) == 4)
        close(stream)
        #expect(read(accepted, &bytes, 8) == 0, "closed by the last that had it")
        close(accepted)
        close(listener)
        #expect { try connect().wait() } throws: { "\($0)" == "Connection refused" }
        try rig.down(client)
    }

    @Test("resolves what /etc/hosts has, and tells in the resolver's words what can't be resolved")
    func names() throws {
        let rig = try Rig()
        let client = try rig.client()
        let addresses = try rig.loop.flatSubmit { client.value.resolve("localhost") }.wait()
        #expect(addresses.known.contains(.v4(0x7f00_0001)) || addresses.known.contains(.v6(1)), "\(addresses)")
        #expect { try rig.loop.flatSubmit { client.value.resolve("a..b") }.wait() } throws: {
            "\($0)".hasPrefix("can't resolve \"a..b\": ")
        }
        #expect(try rig.loop.flatSubmit { client.value.lifetime(of: "a..b") }.wait() == .seconds(60), "no TTL is known")
        try rig.down(client)
    }

    @Test("takes one path, before all else: who has taken over the other process can't name another")
    func onePath() throws {
        let rig = try Rig()
        let client = try rig.client()
        let lost = rig.loop.makePromise(of: String.self)
        try rig.loop.submit { client.value.lost = { lost.succeed(client.value.loss ?? "") } }.wait()
        try rig.send(.begin(rpcbindPath: "/run/other.sock"))
        #expect(throws: (any Error).self) { try rig.end.wait() }
        // A process would end with its loop; the thread leaves the channel open.
        rig.ends.second.shutDown()
        #expect(try lost.futureResult.wait().hasPrefix("the channel to the connector failed: "))
        let late = rig.loop.flatSubmit { client.value.connect() }
        #expect { try late.wait() } throws: { "\($0)".hasPrefix("the channel to the connector failed: ") }
        try rig.loop.flatSubmit { client.value.close() }.wait()
    }

    @Test("that doesn't answer keeps nobody waiting for a stream, and one that comes too late is closed")
    func silence() throws {
        let ends = try PacketChannel.pair(messageBytesMax: ConnectorCall.messageBytesMax)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        try ends.second.send(ConnectorReply.ready.encoded, mayWait: true)
        let client = try loop.submit {
            let rpcbind = Rig.rpcbind("/x", timeout: .milliseconds(20))
            return NIOLoopBound(try ConnectorClient(ends.first, rpcbind, on: loop), eventLoop: loop)
        }.wait()
        let first = loop.flatSubmit { client.value.connect() }
        #expect { try first.wait() } throws: { "\($0)" == "the connector doesn't answer" }
        var pipes: [Int32] = [-1, -1]
        try #require(pipe(&pipes) == 0)
        try ends.second.send(ConnectorReply.connected(1, errno: 0).encoded, with: pipes[1], mayWait: true)
        Glibc.close(pipes[1])
        var byte: UInt8 = 0
        #expect(read(pipes[0], &byte, 1) == 0, "closed")
        Glibc.close(pipes[0])
        try loop.flatSubmit { client.value.close() }.wait()
        try group.syncShutdownGracefully()
        ends.second.close()
    }

    @Test("that can't begin says why; a call before the path ends it")
    func beginning() throws {
        let ends = try PacketChannel.pair(messageBytesMax: ConnectorCall.messageBytesMax)
        try ends.second.send(ConnectorReply.failed("becoming user nobody: no").encoded, mayWait: true)
        ends.second.close()
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        #expect { try ConnectorClient(ends.first, Rig.rpcbind("/x"), on: loop) } throws: {
            "\($0)" == "becoming user nobody: no"
        }
        ends.first.close()
        let rig = try Rig()
        try rig.send(.connect(1))
        #expect(throws: (any Error).self) { try rig.end.wait() }
    }

    @Test("keeps nobody waiting at its end")
    func ending() throws {
        let rig = try Rig()
        let client = try rig.client()
        let answers = try rig.loop.submit {
            let waiting = client.value.connect()
            _ = client.value.close()
            return waiting
        }.wait()
        #expect { try answers.wait() } throws: { "\($0)" == "the daemon is stopping" }
        try rig.down(client)
    }
}
