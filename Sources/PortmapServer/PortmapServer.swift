import CPortmapServer
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Warden

/// What the server tells of; always on its event loop.
public protocol PortmapServerDelegate: AnyObject {
    func callReceived(_ incoming: IncomingCall)
    /// The calls that arrived together have all been told of.
    func callsDelivered()
    func connectionOpened(_ peer: Peer)
    func connectionReceived(_ id: ConnectionTable.ID, isInsideRecord: Bool)
    func connectionClosed(_ id: ConnectionTable.ID)
    /// The connection's stream can't be followed any further.
    func recordRefused(_ peer: Peer, _ fault: RecordFault)
    /// Something is wrong with a socket; the server goes on.
    func serverFailed(_ detail: String)
}

/// UDP and TCP listeners; all on one event loop, to which it and its delegate belong.
public final class PortmapServer {
    let loop: any EventLoop
    let recordBytesMax: Int
    weak var delegate: (any PortmapServerDelegate)?
    var connections: [ConnectionTable.ID: any Channel] = [:]
    private var sockets: [UInt64: ListeningSocket] = [:]
    private var channels: [any Channel] = []
    private var nextID: UInt64 = 0
    private var isClosing = false
    var broadcasts = BroadcastCache()

    /// A datagram that is longer is cut, and then is no call: the longest real one has some 800 bytes.
    static let datagramBytesMax = 2048
    /// Datagrams that one system call may read.
    static let datagramsAtOnce = 32
    /// Before a datagram socket that NIO gave up is taken up again.
    private static let pause: TimeAmount = .milliseconds(100)

    public init(on loop: any EventLoop, recordBytesMax: Int, delegate: any PortmapServerDelegate) {
        self.loop = loop
        self.recordBytesMax = recordBytesMax
        self.delegate = delegate
    }

    func takeID() -> UInt64 {
        nextID += 1
        return nextID
    }

    /// Takes the sockets over and starts to read.
    public func listen(at sockets: [ListeningSocket]) -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        let started = sockets.map { socket in
            switch socket.transport {
            case .udp: listenForDatagrams(socket, as: takeID())
            case .tcp: listenForConnections(socket)
            }
        }
        return EventLoopFuture.andAllSucceed(started, on: loop)
    }

    private func listenForDatagrams(_ socket: ListeningSocket, as id: UInt64) -> EventLoopFuture<Void> {
        sockets[id] = socket
        let this = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = DatagramBootstrap(group: loop)
            .channelOption(.receivePacketInfo, value: true)
            .channelOption(.datagramVectorReadMessageCount, value: Self.datagramsAtOnce)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: Self.datagramsAtOnce * Self.datagramBytesMax)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        DatagramHandler(server: this.value, listener: id, port: socket.port))
                }
            }
        // NIO closes the descriptor with the channel: the socket itself stays ours.
        return bootstrap.withBoundSocket(dup(socket.descriptor)).map { channel in
            this.value.datagramsOpened(channel, socket, id)
        }
    }

    private func datagramsOpened(_ channel: any Channel, _ socket: ListeningSocket, _ id: UInt64) {
        channels.append(channel)
        let this = NIOLoopBound(self, eventLoop: loop)
        channel.closeFuture.whenComplete { _ in
            guard !this.value.isClosing else { return }
            this.value.delegate?.serverFailed("\(socket.description) stopped reading; it is taken up again")
            this.value.channels.removeAll { $0 === channel }
            this.value.loop.scheduleTask(in: Self.pause) {
                _ = this.value.listenForDatagrams(socket, as: id)
            }
        }
    }

    private func listenForConnections(_ socket: ListeningSocket) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 16 << 10, high: 64 << 10))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ConnectionHandler(server: this.value))
                }
            }
            .withBoundSocket(dup(socket.descriptor))
            .map { this.value.channels.append($0) }
    }

    /// Sends the reply from the very address that was asked; a UDP reply that can't leave at once is lost, as any
    /// datagram may be.
    public func send(_ reply: Reply, to peer: Peer) {
        switch peer.transport {
        case .udp: sendDatagram(reply.encoded, to: peer)
        case .tcp: sendRecord(reply, to: peer)
        }
    }

    private func sendDatagram(_ bytes: [UInt8], to peer: Peer) {
        guard let socket = sockets[peer.channel] else { return }
        var to = rpcw_address(peer.address, port: peer.port)
        var from = rpcw_address(peer.asked.host, port: 0)
        _ = rpcw_send_from(socket.descriptor, bytes, bytes.count, &to, &from, peer.interface)
    }

    private func sendRecord(_ reply: Reply, to peer: Peer) {
        guard let channel = connections[peer.channel] else { return }
        let bytes = reply.encoded
        var buffer = channel.allocator.buffer(capacity: bytes.count + 4)
        buffer.writeInteger(RecordReader.header(forRecordBytes: bytes.count))
        buffer.writeBytes(bytes)
        channel.writeAndFlush(buffer, promise: nil)
    }

    /// Ends a connection, behind the replies that were sent to it.
    public func closeConnection(_ id: ConnectionTable.ID) {
        connections[id]?.close(promise: nil)
    }

    public func close() {
        isClosing = true
        for channel in channels + Array(connections.values) { channel.close(promise: nil) }
    }
}
