import NIOCore
import NIOHTTP1

extension Channel {
    /// Writes a request whole.
    ///
    /// `hasleader` makes a member without a leader refuse: a partitioned one would leave a watch silent for ever, and a
    /// request waiting.
    func send(_ request: Request, to endpoint: EtcdEndpoint, token: String?) {
        var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: request.path)
        head.headers = [
            "Host": endpoint.authority, "Content-Type": "application/json",
            "Content-Length": "\(request.body.count)", "Grpc-Metadata-hasleader": "true",
        ]
        if let token { head.headers.add(name: "Authorization", value: token) }
        write(HTTPClientRequestPart.head(head), promise: nil)
        write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: request.body))), promise: nil)
        writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }
}
