import Etcd
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// A member that answers with the bytes that a test gives.
final class FakeMember: Sendable {
    struct Call: Hashable, Sendable {
        var path: String
        var body: String
        var token: String?
        var asksForLeader: Bool
        /// Counted from 0.
        var connection: Int
    }

    enum Reply: Sendable {
        case bytes([UInt8])
        case thenClose([UInt8])
        case silence

        static func json(_ text: String, status: String = "200 OK") -> Reply {
            .bytes(Array("HTTP/1.1 \(status)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)".utf8))
        }

        /// The beginning of a stream without an end.
        static func stream(_ text: String) -> Reply {
            .bytes(Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".utf8) + chunk(text))
        }

        static func chunk(_ text: String) -> [UInt8] {
            Array("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n".utf8)
        }
    }

    private struct State {
        var calls: [Call] = []
        var connections = 0
    }

    private let state = Mutex(State())
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let answer: @Sendable (Call) -> Reply
    private let channel = Mutex<(any Channel)?>(nil)

    init(_ answer: @escaping @Sendable (Call) -> Reply) throws {
        self.answer = answer
        let server = try ServerBootstrap(group: group)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    let number = state.withLock { state in
                        state.connections += 1
                        return state.connections - 1
                    }
                    try channel.pipeline.syncOperations.addHandlers(
                        ByteToMessageHandler(HTTPRequestDecoder()), Handler(self, number))
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        channel.withLock { $0 = server }
    }

    func stop() { group.shutdownGracefully { #expect($0 == nil) } }

    var calls: [Call] { state.withLock { $0.calls } }
    var endpoint: EtcdEndpoint {
        let port = channel.withLock { $0?.localAddress?.port } ?? 0
        return EtcdEndpoint(isSecure: false, host: "127.0.0.1", port: UInt16(port))
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = ByteBuffer

        private let member: FakeMember
        private var call: Call

        init(_ member: FakeMember, _ connection: Int) {
            self.member = member
            call = Call(path: "", body: "", asksForLeader: false, connection: connection)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                call.path = head.uri
                call.token = head.headers.first(name: "Authorization")
                call.asksForLeader = head.headers["Grpc-Metadata-hasleader"] == ["true"]
                call.body = ""
            case .body(let part): call.body += String(buffer: part)
            case .end: reply(context)
            }
        }

        private func reply(_ context: ChannelHandlerContext) {
            let call = call
            member.state.withLock { $0.calls.append(call) }
            switch member.answer(call) {
            case .silence: break
            case .bytes(let bytes): context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
            case .thenClose(let bytes):
                let channel = context.channel
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes))).whenComplete { _ in
                    channel.close(promise: nil)
                }
            }
        }
    }
}
