import NIOCore
import NIOHTTP1

/// Reads the stream of a watch, and ends it with the first thing that isn't a watch's.
final class WatchHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private var reader: WatchReader
    private var lines = LineSplitter(bytesMax: EtcdLimits.responseBytesMax)
    private var status: UInt = 0
    private var refusal: [UInt8] = []
    private var hasEnded = false
    private let told: (EtcdWatchEvent) -> Void

    init(rangeCount: Int, _ told: @escaping (EtcdWatchEvent) -> Void) {
        reader = WatchReader(rangeCount: rangeCount)
        self.told = told
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasEnded else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): status = head.status.code
        case .body(let part): read(part.readableBytesView, context)
        case .end: finish(context)
        }
    }

    private func read(_ part: ByteBufferView, _ context: ChannelHandlerContext) {
        guard status == 200 else {
            guard refusal.count + part.count <= EtcdLimits.errorBytesMax else { return finish(context) }
            refusal += part
            return
        }
        let isShortEnough = lines.feed(part) { line in
            if !hasEnded, let event = reader.read(line) { tell(event, context) }
        }
        if !isShortEnough { end(context, .lost("a line of the watch is too long")) }
    }

    private func tell(_ event: EtcdWatchEvent, _ context: ChannelHandlerContext) {
        if case .ended(let end) = event { return self.end(context, end) }
        told(event)
    }

    /// The stream ended in order: by a refusal, or by an error that no line's end follows.
    private func finish(_ context: ChannelHandlerContext) {
        if status != 200 {
            do {
                _ = try Response(status: status, body: refusal).result()
                end(context, .lost("HTTP status \(status)"))
            } catch {
                end(context, WatchReader.end(error))
            }
        } else if !lines.rest.isEmpty, let event = reader.read(lines.rest) {
            tell(event, context)
        }
        end(context, .lost("the member ended the watch"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(context, .lost(connectionFailure(error)))
    }

    func channelInactive(context: ChannelHandlerContext) { end(context, .lost("the connection was closed")) }

    private func end(_ context: ChannelHandlerContext, _ end: EtcdWatchEnd) {
        guard !hasEnded else { return }
        hasEnded = true
        told(.ended(end))
        context.close(promise: nil)
    }
}
