/// The response to a request; the connection ends after it.
struct HTTPResponse {
    var status: String
    var contentType = "text/plain; charset=utf-8"
    var body: [UInt8]
    var allow: String?
    /// `false` for HEAD: the same fields as for GET, without the body.
    var hasBody = true

    init(_ status: String, _ body: [UInt8]) {
        self.status = status
        self.body = body
    }

    init(_ status: String) { self.init(status, Array("\(status)\n".utf8)) }

    var bytes: [UInt8] {
        var head = "HTTP/1.1 \(status)\r\nContent-Type: \(contentType)\r\nContent-Length: \(body.count)\r\n"
        if let allow { head += "Allow: \(allow)\r\n" }
        head += "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        return Array(head.utf8) + (hasBody ? body : [])
    }

    /// The response to the bytes that have arrived; `nil` while the request is incomplete.
    static func answer(to bytes: [UInt8], page: (Exposition) -> [UInt8]) -> HTTPResponse? {
        do {
            return answer(to: try HTTPRequest(reading: bytes), page: page)
        } catch {
            switch error {
            case .incomplete: return nil
            case .malformed: return HTTPResponse("400 Bad Request")
            case .tooLong: return HTTPResponse("431 Request Header Fields Too Large")
            case .otherVersion: return HTTPResponse("505 HTTP Version Not Supported")
            }
        }
    }

    private static func answer(to request: HTTPRequest, page: (Exposition) -> [UInt8]) -> HTTPResponse {
        let isHead = request.method == "HEAD"
        guard request.path == "/metrics" else {
            var response = HTTPResponse("404 Not Found")
            response.hasBody = !isHead
            return response
        }
        guard isHead || request.method == "GET" else {
            var response = HTTPResponse("405 Method Not Allowed")
            response.allow = "GET, HEAD"
            return response
        }
        let exposition = request.exposition
        var response = HTTPResponse("200 OK", page(exposition))
        response.contentType = exposition.contentType
        response.hasBody = !isHead
        return response
    }
}
