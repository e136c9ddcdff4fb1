import Foundation
import Portmapper
import System
import Testing

/// Answers every call on a unix socket with the same list.
final class FakeRpcbind: Sendable {
    private let descriptor: Int32

    init(path: String, _ registrations: [RPCB]) throws {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        unlink(path)
        let descriptor = try UnixSocket.make(.stream)
        self.descriptor = descriptor
        try UnixSocket.bind(descriptor, to: path)
        try #require(listen(descriptor, 8) == 0, "\(path): errno \(errno)")
        Thread.detachNewThread { Self.serve(descriptor, registrations) }
    }

    func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private static func serve(_ descriptor: Int32, _ registrations: [RPCB]) {
        while true {
            let peer = accept(descriptor, nil, nil)
            guard peer >= 0 else { break }
            var call = [UInt8](repeating: 0, count: 4096)
            // A record mark of four bytes, then the xid.
            if recv(peer, &call, call.count, 0) >= 8 {
                let xid = call[4..<8].reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
                let reply = PortmapperResult.registrations(registrations).reply(xid: xid).encoded
                let mark = withUnsafeBytes(of: (0x8000_0000 | UInt32(reply.count)).bigEndian) { Array($0) }
                let record = mark + reply
                _ = send(peer, record, record.count, Int32(MSG_NOSIGNAL))
            }
            close(peer)
        }
        close(descriptor)
    }
}
