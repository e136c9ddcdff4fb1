import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Testing

/// A portmapper on loopback: answers calls as its closure says, and records them. Belongs to one event loop.
final class FakePortmapper {
    /// The messages that answer a call.
    var replies: (CallHeader) -> [[UInt8]] = { _ in [] }
    private(set) var calls: [CallHeader] = []
    private(set) var callers: [SocketAddress] = []
    private(set) var connections: [any Channel] = []
    private var listener: (any Channel)?

    var port: Int? { listener?.localAddress?.port }

    func listen(on loop: any EventLoop) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RecordHandler(this.value))
                }
            }
            .bind(host: "127.0.0.1", port: 0).map { this.value.listener = $0 }
    }

    func close() {
        listener?.close(promise: nil)
        closeConnections()
    }

    func closeConnections() {
        for connection in connections { connection.close(promise: nil) }
        connections = []
    }

    static func record(_ message: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: RecordReader.header(forRecordBytes: message.count).bigEndian, Array.init) + message
    }

    private final class RecordHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let portmapper: FakePortmapper
        private var reader = RecordReader(recordBytesMax: 4096)

        init(_ portmapper: FakePortmapper) { self.portmapper = portmapper }

        func channelActive(context: ChannelHandlerContext) {
            portmapper.connections.append(context.channel)
            portmapper.callers += context.channel.remoteAddress.map { [$0] } ?? []
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            for record in unwrapInboundIn(data).withUnsafeReadableBytes({ reader.feed($0) }) {
                guard let header = record.withUnsafeBytes(CallHeader.init(ofMessage:)) else {
                    Issue.record("a record is no call: \(record)")
                    continue
                }
                portmapper.calls.append(header)
                for reply in portmapper.replies(header) {
                    context.channel.writeAndFlush(ByteBuffer(bytes: FakePortmapper.record(reply)), promise: nil)
                }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

extension CallHeader {
    /// `nil` if the message is no call.
    init?(ofMessage bytes: UnsafeRawBufferPointer) {
        var decoder = XDRDecoder(bytes)
        do { try self.init(from: &decoder) } catch { return nil }
    }
}
