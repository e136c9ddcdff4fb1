import Addresses
import Calls
import Firewall
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import PortmapServer
import Portmapper
import Testing

/// The portmap server at port 111 of every address, transparent, on a thread without capabilities: it answers every
/// call, and keeps who asked.
final class AnsweringServer {
    private final class Recorder: PortmapServerDelegate {
        var server: PortmapServer?
        var peers: [Peer] = []
        var connections: [Peer] = []

        func callsReceived(_ calls: (_ take: (IncomingCall) -> Void) -> Void) {
            var taken: [IncomingCall] = []
            calls { taken.append($0) }
            for call in taken {
                peers.append(call.peer)
                server?.send(AnsweringServer.result.reply(xid: call.xid), to: call.peer)
            }
        }

        func callsDelivered() {}
        func connectionOpened(_ peer: Peer) { connections.append(peer) }
        func connectionReceived(_ id: ConnectionID, isInsideRecord: Bool) {}
        func connectionClosed(_ id: ConnectionID) {}
        func connectionsExhausted() {}
        func repliesOverflowed(_ greediest: ConnectionID) {}
        func recordRefused(_ peer: Peer, _ fault: RecordFault) {}
        func serverFailed(_ detail: String) { Issue.record("\(detail)") }
    }

    static let result = PortmapperResult.port(2049)

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let recorder: NIOLoopBound<Recorder>
    private let sockets: [ListeningSocket]

    /// - Parameter servers: the addresses for which the sockets are prepared; none: they stay as they are.
    init(servers: [String]) throws {
        let sockets = try ListeningSocket.bind(.v4(0), port: 111) + ListeningSocket.bind(.v6(0), port: 111)
        if !servers.isEmpty {
            try Interception.prepare(sockets, for: servers.compactMap { IPAddress($0) }, arePassed: false)
        }
        let loop = group.next()
        recorder = try loop.submit {
            giveUpCapabilities()
            let recorder = Recorder()
            recorder.server = PortmapServer(on: loop, recordBytesMax: 4096, owedBytesMax: 1 << 16, delegate: recorder)
            return NIOLoopBound(recorder, eventLoop: loop)
        }.wait()
        let recorder = recorder
        try loop.flatSubmit {
            recorder.value.server?.listen(at: sockets) ?? loop.makeSucceededVoidFuture()
        }.wait()
        self.sockets = sockets
    }

    func peers() throws -> [Peer] {
        let recorder = recorder
        return try group.next().submit { recorder.value.peers }.wait()
    }

    func connections() throws -> [Peer] {
        let recorder = recorder
        return try group.next().submit { recorder.value.connections }.wait()
    }

    func end() throws {
        let recorder = recorder
        try group.next().submit { recorder.value.server?.close() }.wait()
        try group.syncShutdownGracefully()
        for socket in sockets { close(socket.descriptor) }
    }
}

extension TestSocket {
    /// Sends a call over UDP or, behind a record mark, over TCP.
    func sendCall(xid: UInt32, padding: Int = 0, isStream: Bool = false) {
        let mapping = Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 0)
        var bytes = PortmapperCall.getPort(mapping).encoded(xid: xid) + Array(repeating: 0, count: padding)
        if isStream {
            let header = RecordReader.header(forRecordBytes: bytes.count).bigEndian
            bytes = withUnsafeBytes(of: header) { Array($0) } + bytes
        }
        Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Whether the answer to the call arrives within a second, and nothing else before it.
    func receivesReply(xid: UInt32, isStream: Bool = false) -> Bool {
        let reply = AnsweringServer.result.reply(xid: xid).encoded
        let expected = (isStream ? 4 : 0) + reply.count
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while bytes.count < expected, Glibc.poll(&poll, 1, 1000) == 1 {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            bytes += chunk.prefix(count)
        }
        return bytes.suffix(reply.count) == reply[...]
    }
}
