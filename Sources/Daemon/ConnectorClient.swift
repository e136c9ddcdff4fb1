import Addresses
import Configuration
import Glibc
import HostNames
import NIOCore
import ONCRPC
import Privilege
import Sandbox
import System

/// The network-facing process's end of the channel to the connector. Belongs to one event loop; a thread reads the
/// replies.
final class ConnectorClient {
    /// A request to the connector that failed.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private enum Waiter: Sendable {
        case connection(EventLoopPromise<Int32>)
        case addresses(name: String, EventLoopPromise<HostAddresses>)
        case lifetime(EventLoopPromise<Duration>)

        func fail(_ why: String) {
            switch self {
            case .connection(let promise): promise.fail(Failure(description: why))
            case .addresses(let name, let promise):
                promise.fail(Failure(description: "can't resolve \"\(name)\": \(why)"))
            case .lifetime(let promise): promise.fail(Failure(description: why))
            }
        }
    }

    private let channel: PacketChannel
    private let loop: any EventLoop
    private let connectionWaitMax: TimeAmount
    private var waiters: [UInt32: Waiter] = [:]
    private var lastNumber: UInt32 = 0
    private let readerEnded: EventLoopPromise<Void>
    private var isClosed = false
    /// Why the connector can't be asked any more. Without it the daemon must stop.
    private(set) var loss: String?
    /// Called once, when the connector is lost.
    var lost: () -> Void = {}

    /// Waits until the connector is ready.
    init(_ channel: PacketChannel, _ rpcbind: Settings.Rpcbind, on loop: any EventLoop) throws {
        self.channel = channel
        self.loop = loop
        connectionWaitMax = TimeAmount(rpcbind.timeout)
        do {
            try Self.begin(channel, rpcbind.socketPath)
        } catch let error as Sandbox.Channel.Failure {
            throw Failure(description: "the connector did not start: \(error)")
        }
        readerEnded = loop.makePromise()
        let code = startReading()
        guard code == 0 else {
            readerEnded.succeed()
            throw Failure(description: "can't start a thread to read the connector's replies: \(Errno(code))")
        }
    }

    private static func begin(_ channel: PacketChannel, _ rpcbindPath: String) throws {
        do {
            try channel.send(ConnectorCall.begin(rpcbindPath: rpcbindPath).encoded, mayWait: true)
        } catch Sandbox.Channel.Failure.ended {
            // The connector has reported the reason.
        }
        switch try nextReply(from: channel).0 {
        case .ready: return
        case .failed(let why): throw Failure(description: why)
        case let reply: throw Failure(description: "the connector sent \(reply) instead of ready")
        }
    }

    /// A new stream to rpcbind, or an error after `rpcbind.timeout`. The caller closes the descriptor.
    func connect() -> EventLoopFuture<Int32> {
        let promise = loop.makePromise(of: Int32.self)
        guard let number = ask(.connection(promise), { .connect($0) }) else { return promise.futureResult }
        let this = NIOLoopBound(self, eventLoop: loop)
        let limit = loop.scheduleTask(in: connectionWaitMax) {
            this.value.waiters.removeValue(forKey: number)?.fail("the connector doesn't answer")
        }
        promise.futureResult.whenComplete { _ in limit.cancel() }
        return promise.futureResult
    }

    func resolve(_ name: String) -> EventLoopFuture<HostAddresses> {
        let promise = loop.makePromise(of: HostAddresses.self)
        ask(.addresses(name: name, promise)) { .resolve($0, name: name) }
        return promise.futureResult
    }

    /// How long the name's addresses may be used.
    func lifetime(of name: String) -> EventLoopFuture<Duration> {
        let promise = loop.makePromise(of: Duration.self)
        ask(.lifetime(promise)) { .lifetime($0, name: name) }
        return promise.futureResult
    }

    /// - Returns: the number that the reply will have; `nil`: there will be no reply.
    @discardableResult
    private func ask(_ waiter: Waiter, _ call: (UInt32) -> ConnectorCall) -> UInt32? {
        guard loss == nil, !isClosed else {
            let why = loss ?? "the daemon is stopping"
            // Fails the waiter later: its callback may ask for the next thing at once.
            loop.execute { waiter.fail(why) }
            return nil
        }
        lastNumber &+= 1
        waiters[lastNumber] = waiter
        do {
            // The connector reads requests at once; if it doesn't, the daemon must not wait for it.
            try channel.send(call(lastNumber).encoded, mayWait: false)
            return lastNumber
        } catch {
            let (this, why) = (NIOLoopBound(self, eventLoop: loop), "\(error)")
            loop.execute { this.value.lose(why) }
            return nil
        }
    }

    // MARK: Replies

    /// - Returns: 0, or an errno.
    private func startReading() -> Int32 {
        let this = NIOLoopBound(self, eventLoop: loop)
        let (channel, loop, readerEnded) = (channel, loop, readerEnded)
        return BlockingCall.start {
            do {
                while true {
                    let (reply, descriptor) = try Self.nextReply(from: channel)
                    loop.execute { this.value.received(reply, descriptor) }
                }
            } catch {
                loop.execute { this.value.lose("\(error)") }
            }
            // The thread's last use of the event loop.
            readerEnded.succeed()
        }
    }

    private static func nextReply(from channel: PacketChannel) throws -> (ConnectorReply, Int32?) {
        let packet = try channel.receive()
        do {
            let reply = try packet.bytes.withUnsafeBytes { bytes throws(XDRError) in
                try ConnectorReply(decoding: bytes)
            }
            return (reply, packet.descriptor)
        } catch {
            if let descriptor = packet.descriptor { Glibc.close(descriptor) }
            throw error
        }
    }

    private func received(_ reply: ConnectorReply, _ descriptor: Int32?) {
        var descriptor = descriptor
        defer { if let descriptor { Glibc.close(descriptor) } }
        switch reply {
        case .connected(let number, let code):
            guard case .connection(let promise)? = waiters.removeValue(forKey: number) else { return }
            guard code == 0 else { return promise.fail(Failure(description: "\(Errno(code))")) }
            guard let connection = descriptor.take() else {
                return promise.fail(
                    Failure(description: "no descriptor is left for the stream to rpcbind; raise LimitNOFILE="))
            }
            promise.succeed(connection)
        case .resolved(let number, let addresses):
            guard case .addresses(_, let promise)? = waiters.removeValue(forKey: number) else { return }
            promise.succeed(addresses)
        case .unresolved(let number, let code):
            guard case .addresses(let name, let promise)? = waiters.removeValue(forKey: number) else { return }
            promise.fail(HostNames.Failure(name: name, code: code))
        case .lifetime(let number, let lifetime):
            guard case .lifetime(let promise)? = waiters.removeValue(forKey: number) else { return }
            promise.succeed(HostNames.bounded(lifetime))
        case .ready, .failed: return
        }
    }

    private func lose(_ why: String) {
        guard loss == nil, !isClosed else { return }
        let loss = "the channel to the connector failed: \(why)"
        self.loss = loss
        failWaiters(loss)
        lost()
    }

    private func failWaiters(_ why: String) {
        let failed = waiters.values
        waiters = [:]
        for waiter in failed { waiter.fail(why) }
    }

    /// Ends the connector. Once the future completes, no thread uses the event loop any more.
    func close() -> EventLoopFuture<Void> {
        isClosed = true
        failWaiters("the daemon is stopping")
        channel.shutDown()
        return readerEnded.futureResult
    }
}
