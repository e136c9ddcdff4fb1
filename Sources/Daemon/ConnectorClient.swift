import Glibc
import HostNames
import NIOCore
import ONCRPC
import Portmapper
import Privilege
import Sandbox

/// The connector, as the network-facing process knows it. Belongs to one event loop; a thread reads its answers.
final class ConnectorClient {
    /// What was asked could not be done.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private enum Waiter {
        case connection(EventLoopPromise<Int32>)
        case addresses(name: String, EventLoopPromise<[IPAddress]>)
        case lifetime(EventLoopPromise<Duration>)

        func fail(_ error: any Error) {
            switch self {
            case .connection(let promise): promise.fail(error)
            case .addresses(_, let promise): promise.fail(error)
            case .lifetime(let promise): promise.fail(error)
            }
        }
    }

    private let channel: PacketChannel
    private let loop: any EventLoop
    private var waiters: [UInt32: Waiter] = [:]
    private var lastNumber: UInt32 = 0
    private let readerEnded: EventLoopPromise<Void>
    private var isClosed = false
    /// Why it can't be asked any more. Without it nothing may go on.
    private(set) var loss: String?
    /// Called once, at the loss.
    var lost: () -> Void = {}

    /// Waits for the connector to be ready.
    init(_ channel: PacketChannel, rpcbindPath: String, on loop: any EventLoop) throws {
        self.channel = channel
        self.loop = loop
        do {
            try Self.begin(channel, rpcbindPath)
        } catch let error as Sandbox.Channel.Failure {
            throw Failure(description: "the connector did not start: \(error)")
        }
        readerEnded = loop.makePromise()
        startReading()
    }

    private static func begin(_ channel: PacketChannel, _ rpcbindPath: String) throws {
        do {
            try channel.send(ConnectorCall.begin(rpcbindPath: rpcbindPath).encoded, mayWait: true)
        } catch Sandbox.Channel.Failure.ended {
            // It has said why.
        }
        switch try nextReply(from: channel).0 {
        case .ready: return
        case .failed(let why): throw Failure(description: why)
        case let reply: throw Failure(description: "the connector said \(reply) instead of ready")
        }
    }

    /// A new stream to rpcbind; whoever gets it closes it.
    func connect() -> EventLoopFuture<Int32> {
        let promise = loop.makePromise(of: Int32.self)
        ask(.connection(promise)) { .connect($0) }
        return promise.futureResult
    }

    func resolve(_ name: String) -> EventLoopFuture<[IPAddress]> {
        let promise = loop.makePromise(of: [IPAddress].self)
        ask(.addresses(name: name, promise)) { .resolve($0, name: name) }
        return promise.futureResult
    }

    /// How long the name's addresses may be used.
    func lifetime(of name: String) -> EventLoopFuture<Duration> {
        let promise = loop.makePromise(of: Duration.self)
        ask(.lifetime(promise)) { .lifetime($0, name: name) }
        return promise.futureResult
    }

    private func ask(_ waiter: Waiter, _ call: (UInt32) -> ConnectorCall) {
        guard loss == nil, !isClosed else { return waiter.fail(Failure(description: loss ?? "the daemon is stopping")) }
        lastNumber &+= 1
        waiters[lastNumber] = waiter
        do {
            // It takes what is asked at once; where it doesn't, nobody shall wait for it.
            try channel.send(call(lastNumber).encoded, mayWait: false)
        } catch {
            lose("\(error)")
        }
    }

    // MARK: Answers

    private func startReading() {
        let this = NIOLoopBound(self, eventLoop: loop)
        let (channel, loop, readerEnded) = (channel, loop, readerEnded)
        let code = BlockingCall.start {
            do {
                while true {
                    let (reply, descriptor) = try Self.nextReply(from: channel)
                    loop.execute { this.value.received(reply, descriptor) }
                }
            } catch {
                loop.execute { this.value.lose("\(error)") }
            }
            // The last that this thread has to do with the loop.
            readerEnded.succeed()
        }
        guard code != 0 else { return }
        readerEnded.succeed()
        lose("there is no thread to be had: \(String(cString: strerror(code)))")
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
            guard code == 0, let connection = descriptor.take() else {
                return promise.fail(Failure(description: String(cString: strerror(code))))
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
        let loss = "the connector is gone: \(why)"
        self.loss = loss
        failWaiters(loss)
        lost()
    }

    private func failWaiters(_ why: String) {
        let failed = waiters.values
        waiters = [:]
        for waiter in failed { waiter.fail(Failure(description: why)) }
    }

    /// The connector ends. When the future ends, no thread uses the loop any more.
    func close() -> EventLoopFuture<Void> {
        isClosed = true
        failWaiters("the daemon is stopping")
        channel.shutDown()
        return readerEnded.futureResult
    }
}
