import Addresses
import CPortmapServer
import Calls
import Glibc
import NIOCore
import NIOPosix
import ONCRPC

/// The events of the server; always called on its event loop.
public protocol PortmapServerDelegate: AnyObject {
    /// Calls arrived together. `calls` passes each to its argument; the delegate must call it once, and gets no
    /// other event until it returns.
    func callsReceived(_ calls: (_ take: (IncomingCall) -> Void) -> Void)
    /// All calls that arrived together have been delivered.
    func callsDelivered()
    func connectionOpened(_ peer: Peer)
    func connectionReceived(_ id: ConnectionID, isInsideRecord: Bool)
    func connectionClosed(_ id: ConnectionID)
    /// TCP peers leave more replies unread than the total limit; this connection has the most.
    func repliesOverflowed(_ greediest: ConnectionID)
    /// A connection could not be accepted for want of descriptors or memory; the server retries.
    func connectionsExhausted()
    /// The connection's stream can't be followed any further.
    func recordRefused(_ peer: Peer, _ fault: RecordFault)
    /// A socket failed; the server goes on.
    func serverFailed(_ detail: String)
}

/// The UDP and TCP listeners. The server, its delegate and all listeners belong to one event loop.
public final class PortmapServer {
    let loop: any EventLoop
    let recordBytesMax: Int
    private let owedBytesMax: Int
    /// Set until ``close()``. A weak reference would slow down each use.
    private(set) var delegate: (any PortmapServerDelegate)?
    var connections: [ConnectionID: ConnectionHandler] = [:]
    /// Replies of each UDP socket that wait for ``flush()``. There are few listeners, so a linear search is
    /// cheaper than hashing.
    private var outboxes: [(listener: UInt64, outbox: OpaquePointer)] = []
    /// Connections with replies that wait for ``flush()``.
    private var unflushed: Set<ConnectionID> = []
    private var isFlushDue = false
    private var encoder = XDREncoder(reserving: 512)
    private var records = ReplyRecords()
    private var owed = OwedReplies()
    /// Connections that owe their first call, or the rest of one.
    var awaited: Set<ConnectionID> = []
    /// The listeners.
    private(set) var channels: [any Channel] = []
    private var nextID: UInt64 = 0
    private var isClosing = false
    var broadcasts = BroadcastCache()
    let ownAddresses = OwnAddresses()
    var localFlood = LocalFlood()
    private var looking: RepeatedTask?

    /// Connections accepted in a row before other events are handled.
    static let connectionsAtOnce: UInt = 16
    /// The delay before a listener that NIO closed is opened again, or one without descriptors retries.
    static let pause: TimeAmount = .milliseconds(100)

    /// The receive buffer of a connection: calls take some hundred bytes, so this bounds the kernel's memory for a
    /// peer that keeps sending.
    private static let receiveBufferBytes = 16 << 10
    private static let readBytes = (least: 512, first: 2048, most: 16 << 10)

    /// - Parameter owedBytesMax: unread replies of a TCP peer beyond which its connection isn't read.
    public init(
        on loop: any EventLoop, recordBytesMax: Int, owedBytesMax: Int, delegate: any PortmapServerDelegate
    ) {
        self.loop = loop
        self.recordBytesMax = recordBytesMax
        self.owedBytesMax = owedBytesMax
        self.delegate = delegate
    }

    deinit {
        for (_, outbox) in outboxes { rpcw_outbox_destroy(outbox) }
    }

    func takeID() -> UInt64 {
        nextID += 1
        return nextID
    }

    /// Takes over the sockets and starts reading.
    public func listen(at sockets: [ListeningSocket]) -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        let started = sockets.map { socket in
            switch socket.transport {
            case .udp: listenForDatagrams(socket, as: takeID())
            case .tcp: listenForConnections(socket)
            }
        }
        let this = NIOLoopBound(self, eventLoop: loop)
        let period = TimeAmount.milliseconds(1000 / Int64(LocalFlood.looksPerSecond))
        looking = loop.scheduleRepeatedTask(initialDelay: period, delay: period) { _ in this.value.look() }
        return EventLoopFuture.andAllSucceed(started, on: loop)
    }

    /// Called every tenth of a second.
    private func look() {
        if localFlood.looked(), localFlood.thinning == 1 {
            delegate?.serverFailed("local users flood port 111 over UDP; their datagrams are thinned out meanwhile")
        }
        for failure in ownAddresses.looked(thinning: localFlood.thinning) { delegate?.serverFailed(failure) }
    }

    private func listenForDatagrams(_ socket: ListeningSocket, as id: UInt64) -> EventLoopFuture<Void> {
        if outbox(of: id) == nil {
            outboxes.append((id, rpcw_outbox_create(socket.descriptor)))
            for failure in ownAddresses.filter(socket) { delegate?.serverFailed(failure) }
        }
        let this = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = DatagramBootstrap(group: loop)
            .channelOption(.receivePacketInfo, value: true)
            // NIO reads the first datagram; the handler reads those behind it.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Int(RPCW_DATAGRAM_BYTES))
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        DatagramHandler(server: this.value, listener: id, socket))
                }
            }
        return bound(socket) { bootstrap.withBoundSocket($0) }.map { channel in
            this.value.opened(channel, socket) { this.value.listenForDatagrams(socket, as: id) }
        }
    }

    /// NIO closes its descriptor with the channel: a duplicate keeps the server's own descriptor open.
    private func bound(
        _ socket: ListeningSocket, _ bind: (NIOBSDSocket.Handle) -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<any Channel> {
        let descriptor = fcntl(socket.descriptor, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else { return loop.makeFailedFuture(SocketError(operation: "dup", code: errno)) }
        return bind(descriptor)
    }

    /// NIO closes a listener after errors that aren't the socket's fault: it is opened again.
    private func opened(
        _ channel: any Channel, _ socket: ListeningSocket, again: @escaping @Sendable () -> EventLoopFuture<Void>
    ) {
        channels.append(channel)
        let this = NIOLoopBound(self, eventLoop: loop)
        channel.closeFuture.whenComplete { _ in
            guard !this.value.isClosing else { return }
            this.value.delegate?.serverFailed("\(socket.description) stopped reading; it is taken up again")
            this.value.channels.removeAll { $0 === channel }
            this.value.reopen(socket, again)
        }
    }

    private func reopen(_ socket: ListeningSocket, _ again: @escaping @Sendable () -> EventLoopFuture<Void>) {
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.pause) {
            guard !this.value.isClosing else { return }
            again().whenFailure { error in
                this.value.delegate?.serverFailed("\(socket.description) can't be taken up: \(error); tried again")
                this.value.reopen(socket, again)
            }
        }
    }

    private func listenForConnections(_ socket: ListeningSocket) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptHandler(server: this.value))
                }
            }
            .serverChannelOption(.maxMessagesPerRead, value: Self.connectionsAtOnce)
            // Connections inherit these.
            .serverChannelOption(.socketOption(.so_rcvbuf), value: Self.receiveBufferBytes)
            .serverChannelOption(.socketOption(.so_sndbuf), value: owedBytesMax)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: owedBytesMax / 2, high: owedBytesMax))
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // After each read other connections have their turn.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(
                    minimum: Self.readBytes.least, initial: Self.readBytes.first, maximum: Self.readBytes.most)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ConnectionHandler(server: this.value))
                }
            }
        return bound(socket) { bootstrap.withBoundSocket($0) }.map { channel in
            this.value.lengthenQueue(socket)
            this.value.opened(channel, socket) { this.value.listenForConnections(socket) }
        }
    }

    /// NIO has called listen(2) with a backlog of 128: a flood fills that queue at once, and later clients wait a
    /// second until they send their SYN again.
    private func lengthenQueue(_ socket: ListeningSocket) {
        let code = rpcw_listen(socket.descriptor)
        if code != 0 { delegate?.serverFailed("\(SocketError(operation: "listen \(socket.description)", code: code))") }
    }

    /// Sends the reply from the address that was asked, together with others after the current events. A UDP reply
    /// that can't be sent then is lost, as any datagram may be.
    /// Whether the address is one of this host's.
    public func isOwn(_ address: IPAddress) -> Bool { !ownAddresses.isOfAnotherHost(address) }

    public func send(_ reply: Reply, to peer: Peer) {
        switch peer.transport {
        case .udp: sendDatagram(reply, to: peer)
        case .tcp: sendRecord(reply, to: peer)
        }
        guard !isFlushDue else { return }
        isFlushDue = true
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.execute { this.value.flush() }
    }

    private func outbox(of listener: UInt64) -> OpaquePointer? { outboxes.first { $0.listener == listener }?.outbox }

    private func sendDatagram(_ reply: Reply, to peer: Peer) {
        guard let outbox = outbox(of: peer.channel) else { return }
        encoder.clear()
        reply.encode(into: &encoder)
        var to = rpcw_address(peer.address, port: peer.port)
        var from = rpcw_address(peer.asked.host, port: 0)
        rpcw_outbox_put(outbox, encoder.bytes, encoder.bytes.count, &to, &from, peer.interface)
    }

    private func sendRecord(_ reply: Reply, to peer: Peer) {
        guard let connection = connections[peer.channel] else { return }
        let (first, rest) = records.buffers(for: reply)
        connection.write(first, rest)
        owed.wrote(first.readableBytes + (rest?.readableBytes ?? 0))
        unflushed.insert(peer.channel)
    }

    private func flush() {
        isFlushDue = false
        for (_, outbox) in outboxes { rpcw_outbox_flush(outbox) }
        guard !unflushed.isEmpty else { return }
        var flushed: Set<ConnectionID> = []
        swap(&flushed, &unflushed)
        for id in flushed { connections[id]?.flush() }
        if owed.isLookDue { lookForGreed() }
        var haveCalled = false
        for id in flushed where connections[id]?.goOn() == true { haveCalled = true }
        if haveCalled { delegate?.callsDelivered() }
        guard unflushed.isEmpty else { return }
        flushed.removeAll(keepingCapacity: true)
        unflushed = flushed
    }

    private func lookForGreed() {
        for id in owed.looked(connections.mapValues(\.owedBytes)) { delegate?.repliesOverflowed(id) }
    }

    /// Closes a connection after the replies that were sent to it.
    public func closeConnection(_ id: ConnectionID) { connections[id]?.close() }

    /// Later calls stay in the sockets, for other processes that hold them. Replies still leave.
    public func stopListening() {
        isClosing = true
        for channel in channels { channel.close(promise: nil) }
        channels = []
    }

    /// Closes all connections except those that owe their first call, or the rest of one.
    public func closeAnswered() {
        flush()
        for (id, connection) in connections where !awaited.contains(id) { connection.close() }
    }

    public func close() {
        isClosing = true
        looking?.cancel()
        flush()
        for channel in channels { channel.close(promise: nil) }
        for connection in connections.values { connection.close() }
        delegate = nil
    }
}
