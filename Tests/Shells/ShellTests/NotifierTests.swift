import Glibc
import Testing

@testable import System

@Suite("the service manager's socket") struct NotifierTests {
    @Test("that is full holds nobody up, and takes the next state once it has room")
    func full() throws {
        let path = "/tmp/rpcwarden-notify.\(getpid())"
        let manager = try UnixSocket.make(.datagram)
        defer {
            close(manager)
            unlink(path)
        }
        try UnixSocket.bind(manager, to: path)
        let notifier = Notifier(to: path)
        // net.unix.max_dgram_qlen bounds what waits.
        let isFull = (0..<100_000).contains { _ in !notifier.notify("WATCHDOG=1") }
        #expect(isFull)
        #expect(!notifier.notify("READY=1"))
        var bytes = [UInt8](repeating: 0, count: 64)
        while recv(manager, &bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
        #expect(notifier.notify("READY=1"))
        let count = recv(manager, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        #expect(String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self) == "READY=1")
    }

    @Test("that nobody reads, or that isn't there, is told nothing")
    func absent() {
        #expect(Notifier(to: nil).notify("READY=1"))
        #expect(Notifier(to: "/nonexistent/notify").notify("READY=1"))
    }
}
