import Testing

@testable import Metrics

@Suite("the metrics' HTTP")
struct HTTPRequestTests {
    private static let scrape = """
        GET /metrics?x=1 HTTP/1.1\r
        Host: 127.0.0.1:9811\r
        User-Agent: Prometheus/2.42.0\r
        Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r
        Accept-Encoding: gzip\r
        \r\n
        """

    private static func fault(_ text: String) -> HTTPRequest.Fault? { fault(Array(text.utf8)) }

    private static func fault(_ bytes: [UInt8]) -> HTTPRequest.Fault? {
        do throws(HTTPRequest.Fault) {
            _ = try HTTPRequest(reading: bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test("every beginning of a scrape is incomplete; the whole is read, whatever follows")
    func prefixes() throws {
        let head = Array(Self.scrape.utf8)
        let end = head.count - 1  // without the last line of the literal
        for count in 0..<(end) where !head[..<count].elementsEqual(head[..<end]) {
            #expect(Self.fault(Array(head[..<count])) == .incomplete, "\(count)")
        }
        let request = try HTTPRequest(reading: head + Array("\0trailing".utf8))
        #expect(request.method == "GET" && request.path == "/metrics" && request.exposition == .openMetrics)
    }

    @Test(
        "hostile heads are malformed",
        arguments: [
            "\r\n\r\n", "GET /metrics HTTP/1.1\n\n", "GET /metrics HTTP/1.1\r\nHost: a\n\r\n", "GET\r\n\r\n",
            "GET /metrics\r\n\r\n", "GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            " GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /metrics HTTP/1.1 \r\nHost: a\r\n\r\n", "G(T /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET metrics HTTP/1.1\r\nHost: a\r\n\r\n", "GET /mé HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /metrics HTTP/1.1\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "GET /met\0rics", "\u{16}\u{3}\u{1}\u{2}\0\u{1}", "GET /metrics HTTP/1.1\r\nHost: a\u{7f}\r\n\r\n",
            "GET /metrics XTTP/1.1\r\nHost: a\r\n\r\n",
        ])
    func malformed(text: String) {
        #expect(Self.fault(text) == .malformed)
    }

    @Test("other versions are told apart", arguments: ["HTTP/2.0", "HTTP/1.2", "HTTP/1.1.1", "HTTP/", "HTTP/0.9"])
    func versions(version: String) {
        #expect(Self.fault("GET /metrics \(version)\r\nHost: a\r\n\r\n") == .otherVersion)
    }

    @Test("a head may have 8192 bytes, and not one more")
    func length() {
        let head = "GET /metrics HTTP/1.1\r\nHost: a\r\nX: "
        let fits = head + String(repeating: "x", count: 8192 - head.utf8.count - 4) + "\r\n\r\n"
        #expect(Self.fault(fits) == nil)
        #expect(Self.fault(head + String(repeating: "x", count: 8193 - head.utf8.count - 4) + "\r\n\r\n") == .tooLong)
        #expect(Self.fault([UInt8](repeating: UInt8(ascii: "x"), count: 8191)) == .incomplete)
        #expect(Self.fault([UInt8](repeating: UInt8(ascii: "x"), count: 8192)) == .tooLong)
    }

    @Test("whatever bytes come, a head is read or refused")
    func random() {
        var generator = SystemRandomNumberGenerator()
        let head = Array("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;q=0.5, */*\r\n\r\n".utf8)
        for _ in 0..<2000 {
            var bytes = head
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
            do throws(HTTPRequest.Fault) {
                _ = try HTTPRequest(reading: bytes).exposition
            } catch {}
        }
    }

    @Test(
        "OpenMetrics is for who asks for it by name",
        arguments: [
            ("", false), ("*/*", false), ("text/plain", false), ("application/openmetrics-text", true),
            ("APPLICATION/OpenMetrics-Text ; Version=1.0.0", true),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.5", false),
            ("text/plain;version=0.0.4;q=0.4, application/openmetrics-text;version=1.0.0;q=0.6", true),
            ("application/openmetrics-text;q=0", false), ("application/openmetrics-text;q=x", false),
            (",;,;;q=,", false),
        ])
    func negotiation(accept: String, isOpenMetrics: Bool) {
        let request = Result { try HTTPRequest(reading: Array("GET / HTTP/1.0\r\nAccept: \(accept)\r\n\r\n".utf8)) }
        #expect(throws: Never.self) { try request.get() }
        #expect((try? request.get().exposition) == (isOpenMetrics ? .openMetrics : .prometheus))
    }

    @Test(
        "each request gets its answer",
        arguments: [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", true),
            ("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", false),
            ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed", true),
            ("get /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed", true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", true),
            ("HEAD /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", false),
            ("GET /%6detrics HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", true),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 Bad Request", true),
            ("GET /metrics HTTP/3\r\n\r\n", "505 HTTP Version Not Supported", true),
            (String(repeating: "x", count: 9000), "431 Request Header Fields Too Large", true),
        ])
    func answers(text: String, status: String, hasBody: Bool) {
        let response = HTTPResponse.answer(to: Array(text.utf8)) { _ in Array("page".utf8) }
        #expect(response?.status == status)
        let bytes = String(decoding: response?.bytes ?? [], as: UTF8.self)
        let body = status == "200 OK" ? "page" : "\(status)\n"
        #expect(bytes.contains("\r\nContent-Length: \(body.utf8.count)\r\n"))
        #expect(bytes.hasSuffix(hasBody ? "\r\n\r\n" + body : "\r\n\r\n"))
        #expect(bytes.contains("\r\nAllow: GET, HEAD\r\n") == status.hasPrefix("405"))
    }
}
