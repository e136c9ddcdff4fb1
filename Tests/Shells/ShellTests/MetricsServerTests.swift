import AuditTrail
import Clock
import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import Metrics

@Suite("metrics server", .serialized)
struct MetricsServerTests {
    private static let request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"

    private final class Count { var snapshots = 0 }

    private func serving(_ body: (UInt16, () throws -> Int) throws -> Void) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let (server, count) = try loop.submit {
            let count = Count()
            let server = MetricsServer(on: loop) {
                count.snapshots += 1
                return MetricsSnapshot(
                    version: "0", startedAt: Timestamp(milliseconds: 0), counters: Counters(),
                    gauges: Gauges(), drops: nil, auditLost: 0)
            }
            return (NIOLoopBound(server, eventLoop: loop), NIOLoopBound(count, eventLoop: loop))
        }.wait()
        try loop.flatSubmit { server.value.listen(at: "127.0.0.1", port: 0) }.wait()
        let port = try loop.submit { server.value.port }.wait()
        try body(UInt16(try #require(port))) { try loop.submit { count.value.snapshots }.wait() }
        try loop.submit { server.value.close() }.wait()
    }

    private func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        #expect(send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
    }

    /// All bytes until the end of the stream; `nil`: a reset, or a time-out.
    private func read(_ descriptor: Int32) -> String? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count >= 0 else { return nil }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk.prefix(count)
        }
    }

    @Test("answers one request, and ends the connection, though more was sent")
    func answers() throws {
        try serving { port, _ in
            let descriptor = connected(to: port, patienceSeconds: 10)
            defer { close(descriptor) }
            write(Self.request + Self.request + String(repeating: "x", count: 20_000), to: descriptor)
            let text = try #require(read(descriptor))
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(text.hasSuffix("rpcwarden_audit_lost_total 0\n"))
            #expect(text.components(separatedBy: "HTTP/1.1 ").count == 2)
        }
    }

    @Test("a request that comes byte by byte is answered")
    func bytewise() throws {
        try serving { port, _ in
            let descriptor = connected(to: port, patienceSeconds: 10)
            defer { close(descriptor) }
            for character in Self.request.unicodeScalars { write(String(character), to: descriptor) }
            #expect(read(descriptor)?.hasPrefix("HTTP/1.1 200 OK\r\n") == true)
        }
    }

    @Test("too long a head is refused, and the refusal arrives though the peer sent more")
    func tooLong() throws {
        try serving { port, _ in
            let descriptor = connected(to: port, patienceSeconds: 10)
            defer { close(descriptor) }
            write(String(repeating: "x", count: 60_000), to: descriptor)
            #expect(read(descriptor)?.hasPrefix("HTTP/1.1 431 ") == true)
        }
    }

    @Test("who sends too slowly is cut off after five seconds")
    func slow() throws {
        try serving { port, _ in
            let descriptor = connected(to: port, patienceSeconds: 40)
            defer { close(descriptor) }
            write("GET /metrics", to: descriptor)
            let begin = ContinuousClock.now
            #expect(read(descriptor) == "")
            let elapsed = ContinuousClock.now - begin
            #expect(elapsed > .seconds(4) && elapsed < .seconds(30), "\(elapsed)")
        }
    }

    @Test("connections that only wait make room for one that asks")
    func crowded() throws {
        try serving { port, _ in
            let waiting = (0..<MetricsServer.connectionsMax).map { _ in connected(to: port, patienceSeconds: 10) }
            defer { for descriptor in waiting { close(descriptor) } }
            // The server has accepted the last connection.
            write("G", to: waiting[MetricsServer.connectionsMax - 1])
            let descriptor = connected(to: port, patienceSeconds: 10)
            defer { close(descriptor) }
            let begin = ContinuousClock.now
            write(Self.request, to: descriptor)
            #expect(read(descriptor)?.hasPrefix("HTTP/1.1 200 OK\r\n") == true)
            #expect(read(waiting[0]) == "", "the longest waiting goes")
            #expect(ContinuousClock.now - begin < .seconds(3), "and at once")
            var byte: UInt8 = 0
            #expect(recv(waiting[1], &byte, 1, Int32(MSG_DONTWAIT)) < 0 && errno == EAGAIN, "the others stay")
        }
    }

    @Test("many scrapes at once share a page")
    func shared() throws {
        try serving { port, snapshots in
            let begin = ContinuousClock.now
            for _ in 0..<50 {
                let descriptor = connected(to: port, patienceSeconds: 10)
                write(Self.request, to: descriptor)
                #expect(read(descriptor)?.hasPrefix("HTTP/1.1 200 OK\r\n") == true)
                close(descriptor)
            }
            let elapsed = ContinuousClock.now - begin
            let count = try snapshots()
            #expect(count <= 1 + Int(elapsed / .milliseconds(100)), "\(count) in \(elapsed)")
        }
    }

    @Test("a place that is taken is named in the error")
    func taken() throws {
        try serving { port, _ in
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            defer { group.shutdownGracefully { #expect($0 == nil) } }
            let loop = group.next()
            let expected = MetricsServerError(place: "127.0.0.1:\(port)", detail: "Address already in use")
            #expect(throws: expected) {
                try loop.flatSubmit {
                    MetricsServer(on: loop) { fatalError("nobody asks") }.listen(at: "127.0.0.1", port: port)
                }.wait()
            }
        }
    }

    @Test("listens at an address that this host doesn't have yet", arguments: ["192.0.2.1", "2001:db8::1"])
    func early(address: String) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let server = try loop.submit {
            NIOLoopBound(MetricsServer(on: loop) { fatalError("nobody asks") }, eventLoop: loop)
        }.wait()
        try loop.flatSubmit { server.value.listen(at: address, port: 0) }.wait()
        #expect(try loop.submit { server.value.port }.wait() != nil)
        try loop.submit { server.value.close() }.wait()
    }
}
