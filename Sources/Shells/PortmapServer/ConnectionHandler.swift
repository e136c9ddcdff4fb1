import CPortmapServer
import Calls
import NIOCore
import ONCRPC
import Portmapper

/// Cuts a connection's bytes into records, and these into calls; bounds the calls under way at once.
///
/// ```
/// reading ──too many calls under way, or replies unread──▶ waiting ──answered, or read──▶ reading
///    └──────────────the peer sends no more──────────────▶ ending ──answered──▶ closed
/// ```
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private unowned let server: PortmapServer
    private var reader: RecordReader
    private var peer: Peer?
    private var channel: (any Channel)?
    /// Bytes that arrived while no more calls could be taken.
    private var waiting = ByteBuffer()
    private var callsUnderWay = 0
    private var isTaking = false
    private var isReading = true
    private var hasInputEnded = false
    private var isRefused = false

    init(server: PortmapServer) {
        self.server = server
        reader = RecordReader(recordBytesMax: server.recordBytesMax)
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let (address, port) = context.remoteAddress?.numeric,
            let (asked, askedPort) = context.localAddress?.numeric
        else { return context.close(promise: nil) }
        let channel = context.channel
        let peer = Peer(
            address: address, port: port, transport: .tcp, asked: UniversalAddress(host: asked, port: askedPort),
            channel: server.takeID(),
            isLocal: server.ownAddresses.isLocal(connectionFrom: address, by: channel.boundInterface),
            isIntercepted: server.ownAddresses.isOfAnotherHost(asked))
        (self.peer, self.channel) = (peer, channel)
        server.connections[peer.channel] = self
        server.awaited.insert(peer.channel)
        server.delegate?.connectionOpened(peer)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if waiting.readableBytes == 0 { waiting = bytes } else { waiting.writeBuffer(&bytes) }
        takeCalls()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        server.delegate?.callsDelivered()
    }

    /// Continues after replies were sent, which have left or wait for the peer.
    /// - Returns: whether calls were taken.
    func goOn() -> Bool {
        let hadCalls = waiting.readableBytes > 0
        if hadCalls { takeCalls() }
        endIfDone()
        return hadCalls
    }

    private func takeCalls() {
        guard let peer, !isTaking else { return }
        isTaking = true
        defer { isTaking = false }
        while true {
            let records = nextRecords()
            guard !records.isEmpty else { break }
            callsUnderWay += records.count
            server.delegate?.callsReceived { take in
                for record in records { take(record.withUnsafeBytes { IncomingCall(decoding: $0, from: peer) }) }
            }
        }
        // The connection was closed because of its calls.
        guard channel != nil else { return }
        if let fault = reader.fault { return refuse(peer, fault) }
        if isInsideRecord || hasWaiting {
            server.awaited.insert(peer.channel)
        } else {
            server.awaited.remove(peer.channel)
        }
        server.delegate?.connectionReceived(peer.channel, isInsideRecord: isInsideRecord)
        setReading()
    }

    /// Refuses a stream that can't be followed any further; the rest of its bytes is ignored.
    private func refuse(_ peer: Peer, _ fault: RecordFault) {
        waiting.clear()
        guard !isRefused else { return }
        isRefused = true
        server.delegate?.recordRefused(peer, fault)
    }

    private var hasWaiting: Bool { waiting.readableBytes > 0 }
    /// Whether the peer owes the rest of a record; records that wait in `waiting` are not the peer's delay.
    private var isInsideRecord: Bool { reader.isInsideRecord && !hasWaiting }

    private func nextRecords() -> [[UInt8]] {
        guard let peer, let channel, channel.isWritable else { return [] }
        let room = (peer.isLocal ? OwedReplies.callsOfThisHostMax : OwedReplies.callsMax) - callsUnderWay
        var records: [[UInt8]] = []
        waiting.readWithUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while records.count < room, let record = reader.takeRecord(from: &rest) { records.append(record) }
            return bytes.count - rest.count
        }
        return records
    }

    /// A peer that doesn't read its replies, or has enough calls under way, is not read until that changes.
    private func setReading() {
        guard let channel, !hasInputEnded else { return }
        let shallRead = !hasWaiting && channel.isWritable
        guard shallRead != isReading else { return }
        isReading = shallRead
        // This fails only on a closed channel.
        channel.setOption(.autoRead, value: shallRead).whenFailure { _ in }
    }

    /// Writes a reply, which ``flush()`` sends.
    func write(_ first: ByteBuffer, _ rest: ByteBuffer?) {
        callsUnderWay = max(0, callsUnderWay - 1)
        channel?.write(first, promise: nil)
        if let rest { channel?.write(rest, promise: nil) }
    }

    func flush() { channel?.flush() }

    /// Closes the connection after the replies that were sent.
    func close() {
        channel?.flush()
        channel?.close(promise: nil)
    }

    /// Bytes of replies that the peer has yet to take.
    var owedBytes: Int { channel?.unsentBytes ?? 0 }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, hasWaiting {
            takeCalls()
            server.delegate?.callsDelivered()
        } else {
            setReading()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed {
            hasInputEnded = true
            endIfDone()
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// A peer that closed its sending side gets the outstanding replies; then the connection is closed.
    private func endIfDone() {
        guard hasInputEnded, callsUnderWay == 0, !hasWaiting, let channel else { return }
        guard owedBytes > 0 else { return channel.close(promise: nil) }
        channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        channel = nil
        waiting.clear()
        guard let peer else { return }
        server.connections[peer.channel] = nil
        server.awaited.remove(peer.channel)
        server.delegate?.connectionClosed(peer.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

extension Channel {
    /// Bytes written that the kernel has not taken yet.
    fileprivate var unsentBytes: Int {
        do {
            return try syncOptions?.getOption(.bufferedWritableBytes) ?? 0
        } catch {
            return 0  // closed
        }
    }

    /// The interface that the connection is bound to: that of a link-local peer, or a VRF. 0: none.
    fileprivate var boundInterface: UInt32 {
        do {
            return UInt32(clamping: try syncOptions?.getOption(.socketOption(.boundInterface)) ?? 0)
        } catch {
            return 0  // closed, or a kernel before 5.0
        }
    }
}

extension NIOBSDSocket.Option {
    fileprivate static let boundInterface = Self(rawValue: 62)  // SO_BINDTOIFINDEX, which Glibc's module lacks
}
