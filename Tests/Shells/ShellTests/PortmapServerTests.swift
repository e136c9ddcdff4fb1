import Addresses
import Calls
import Configuration
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Testing

@testable import PortmapServer

/// Answers every call with a port, and records the delegate's calls.
private final class Recorder: PortmapServerDelegate {
    var server: PortmapServer?
    var calls: [IncomingCall] = []
    var opened = 0
    var closed = 0
    var isFailureExpected = false
    var stopsAtCall = false
    /// The answer to each call.
    var result = PortmapperResult.port(2049)
    /// Calls are answered only by ``answerOne()``.
    var withholds = false
    private var unanswered: [IncomingCall] = []
    var faults: [RecordFault] = []

    /// Checks for reentrancy: the delegate may hold exclusive access to the state that its methods need.
    private var isTakingCalls = false

    func callsReceived(_ calls: (_ take: (IncomingCall) -> Void) -> Void) {
        told()
        isTakingCalls = true
        var taken: [IncomingCall] = []
        calls { taken.append($0) }
        isTakingCalls = false
        #expect(!taken.isEmpty)
        self.calls += taken
        for incoming in taken {
            if stopsAtCall { server?.stopListening() }
            unanswered.append(incoming)
        }
        if !withholds { while answerOne() {} }
    }

    func answerOne() -> Bool {
        guard !unanswered.isEmpty else { return false }
        let incoming = unanswered.removeFirst()
        server?.send(result.reply(xid: incoming.xid), to: incoming.peer)
        return true
    }

    private func told() { #expect(!isTakingCalls, "told of something else while it takes calls") }

    func callsDelivered() { told() }
    func connectionOpened(_ peer: Peer) {
        told()
        opened += 1
    }
    func connectionReceived(_ id: ConnectionID, isInsideRecord: Bool) { told() }
    func connectionClosed(_ id: ConnectionID) {
        told()
        closed += 1
    }
    func connectionsExhausted() { told() }
    func repliesOverflowed(_ greediest: ConnectionID) { told() }
    func recordRefused(_ peer: Peer, _ fault: RecordFault) {
        told()
        faults.append(fault)
        server?.closeConnection(peer.channel)
    }
    func serverFailed(_ detail: String) {
        told()
        if !isFailureExpected { Issue.record("\(detail)") }
    }
}

@Suite("portmap server", .serialized)
struct PortmapServerTests {
    private static let loopback4 = IPAddress.v4(0x7f00_0001)
    private static let owedBytesMax = 1 << 16

    /// Runs the server on ports that the kernel selects.
    private func serving(
        at address: IPAddress, givesUpListeners: Bool = false, stopsAtCall: Bool = false,
        _ body: (_ udp: UInt16, _ tcp: UInt16, () throws -> [IncomingCall]) throws -> Void
    ) throws {
        try serving(at: address, givesUpListeners: givesUpListeners) { recorder in
            recorder.stopsAtCall = stopsAtCall
        } _: { udp, tcp, server in
            try body(udp, tcp, server.calls)
        }
    }

    private struct Running {
        let loop: any EventLoop
        let recorder: NIOLoopBound<Recorder>

        func calls() throws -> [IncomingCall] { try loop.submit { recorder.value.calls }.wait() }

        /// Waits for `count` calls.
        func waitForCalls(_ count: Int) throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while try calls().count < count, ContinuousClock.now < deadline { usleep(100) }
        }

        func answerOne() throws { #expect(try loop.submit { recorder.value.answerOne() }.wait()) }
    }

    private func serving(
        at address: IPAddress, givesUpListeners: Bool = false, _ configure: @escaping @Sendable (Recorder) -> Void,
        _ body: (_ udp: UInt16, _ tcp: UInt16, Running) throws -> Void
    ) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let bound = try ListeningSocket.bind(address, port: 0)
        let ports = bound.map { Self.port(of: $0.descriptor) }
        let sockets = zip(bound, ports).map { socket, port in
            var socket = socket
            socket.port = port
            return socket
        }
        let recorder = try loop.submit {
            let recorder = Recorder()
            recorder.isFailureExpected = givesUpListeners
            configure(recorder)
            recorder.server = PortmapServer(
                on: loop, recordBytesMax: 4096, owedBytesMax: Self.owedBytesMax, delegate: recorder)
            return NIOLoopBound(recorder, eventLoop: loop)
        }.wait()
        try loop.flatSubmit {
            recorder.value.server?.listen(at: sockets) ?? loop.makeSucceededVoidFuture()
        }.wait()
        if givesUpListeners {
            try loop.submit { recorder.value.server?.channels.forEach { $0.close(promise: nil) } }.wait()
        }
        try body(ports[0], ports[1], Running(loop: loop, recorder: recorder))
        try loop.submit { recorder.value.server?.close() }.wait()
    }

    private static func port(of descriptor: Int32) -> UInt16 {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &length) }
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                UInt16(bigEndian: $0.pointee.sin_port)
            }
        }
    }

    private func receive(_ descriptor: Int32, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < count {
            let received = recv(descriptor, &chunk, chunk.count, 0)
            guard received > 0 else { break }
            bytes += chunk.prefix(received)
        }
        return bytes
    }

    private let call = PortmapperCall.getPort(
        Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 0))
    private var reply: [UInt8] { PortmapperResult.port(2049).reply(xid: 7).encoded }

    @Test("answers a datagram, and knows the address that was asked")
    func datagram() throws {
        try serving(at: .v4(0)) { udp, _, calls in
            let descriptor = connected(to: udp, SOCK_DGRAM, patienceSeconds: 5)
            defer { close(descriptor) }
            let message = call.encoded(xid: 7)
            #expect(send(descriptor, message, message.count, 0) == message.count)
            #expect(receive(descriptor, reply.count) == reply)
            let incoming = try #require(try calls().first)
            #expect(incoming.content == .call(call))
            #expect(incoming.peer.asked == UniversalAddress(host: Self.loopback4, port: udp))
            #expect(incoming.peer.interface == 1)
            #expect(!incoming.peer.isBroadcast && incoming.peer.isLocal)
        }
    }

    @Test("answers a burst of datagrams, each once, and knows of each who asks what address")
    func burst() throws {
        try serving(at: .v4(0)) { udp, _, calls in
            let clients = (0..<3).map { _ in connected(to: udp, SOCK_DGRAM, patienceSeconds: 5) }
            defer { for client in clients { close(client) } }
            // Two rounds: the second meets the server in the state that the first left.
            for round in 0..<2 {
                for number in 0..<100 {
                    let message = call.encoded(xid: UInt32(round * 100 + number))
                    #expect(send(clients[number % 3], message, message.count, 0) == message.count)
                }
                for (index, client) in clients.enumerated() {
                    let expected = Set((0..<100).filter { $0 % 3 == index }.map { UInt32(round * 100 + $0) })
                    let xids = (0..<expected.count).map { _ in receive(client, reply.count).prefix(4) }
                        .map { $0.reduce(0) { $0 << 8 | UInt32($1) } }
                    #expect(xids.count == expected.count && Set(xids) == expected)
                }
            }
            let received = try calls()
            #expect(received.count == 200)
            #expect(Set(received.map(\.peer.port)).count == 3)
            #expect(received.allSatisfy { $0.peer.asked == UniversalAddress(host: Self.loopback4, port: udp) })
            #expect(received.allSatisfy { $0.peer.interface == 1 && $0.peer.address == Self.loopback4 })
            #expect(received.allSatisfy { $0.content == .call(call) })
        }
    }

    @Test("answers several records that arrive in one segment, and one that arrives byte by byte")
    func records() throws {
        try serving(at: Self.loopback4) { _, tcp, calls in
            let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(descriptor) }
            let message = call.encoded(xid: 7)
            let header = withUnsafeBytes(of: RecordReader.header(forRecordBytes: message.count).bigEndian) { Array($0) }
            let record = header + message
            #expect(send(descriptor, record + record, 2 * record.count, 0) == 2 * record.count)
            for byte in record {
                #expect(send(descriptor, [byte], 1, 0) == 1)
            }
            let answered = receive(descriptor, 3 * (reply.count + 4))
            let expected = withUnsafeBytes(of: RecordReader.header(forRecordBytes: reply.count).bigEndian) { Array($0) }
            #expect(answered == Array(repeating: expected + reply, count: 3).flatMap { $0 })
            let count = try calls().count
            #expect(count == 3)
        }
    }

    private func record(xid: UInt32) -> [UInt8] {
        let message = call.encoded(xid: xid)
        let header = RecordReader.header(forRecordBytes: message.count).bigEndian
        return withUnsafeBytes(of: header) { Array($0) } + message
    }

    @Test("a peer that ends its sending side after its calls gets the replies, and then the end")
    func halfClosed() throws {
        try serving(at: Self.loopback4) {
            $0.withholds = true
        } _: { _, tcp, server in
            let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(descriptor) }
            let records = record(xid: 7) + record(xid: 8) + [0x80]
            #expect(send(descriptor, records, records.count, 0) == records.count)
            #expect(shutdown(descriptor, Int32(SHUT_WR)) == 0)
            for count in 1...2 {
                try server.waitForCalls(count)
                try server.answerOne()
                #expect(receive(descriptor, reply.count + 4).count == reply.count + 4)
            }
            #expect(receive(descriptor, 1) == [])
        }
    }

    @Test("one that says nothing, and ends its sending side, is let go at once")
    func halfClosedSilently() throws {
        try serving(at: Self.loopback4) { _, tcp, _ in
            let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(descriptor) }
            #expect(shutdown(descriptor, Int32(SHUT_WR)) == 0)
            #expect(receive(descriptor, 1) == [])
        }
    }

    @Test("of a peer of this host one call is taken at a time; the next waits for its answer")
    func oneAtATime() throws {
        try serving(at: Self.loopback4) {
            $0.withholds = true
        } _: { _, tcp, server in
            let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(descriptor) }
            let records = (1...1000).flatMap { record(xid: $0) }
            #expect(send(descriptor, records, records.count, 0) == records.count)
            for count in 1...1000 {
                try server.waitForCalls(count)
                #expect(try server.calls().count == count)
                try server.answerOne()
            }
            #expect(receive(descriptor, 1000 * (reply.count + 4)).count == 1000 * (reply.count + 4))
            #expect(try server.calls().allSatisfy(\.peer.isLocal))
        }
    }

    @Test("of a peer that reads no replies no more calls are taken than it may be owed; when it reads, it gets all")
    func unread() throws {
        let results = PortmapperResult.registrations(
            (1...500).map { RPCB(program: Program($0), version: 1, netID: "tcp", address: "0.0.0.0.8.1", owner: "0") })
        let replyBytes = results.reply(xid: 7).encoded.count + 4
        try serving(at: Self.loopback4) {
            $0.result = results
        } _: { _, tcp, server in
            let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(descriptor) }
            let records = (1...200).flatMap { record(xid: $0) }
            #expect(send(descriptor, records, records.count, 0) == records.count)
            var taken = -1
            while try server.calls().count > taken {
                taken = try server.calls().count
                usleep(100_000)
            }
            // The kernel's buffers on both sides hold some replies, too.
            #expect(taken < 200 && taken * replyBytes < 8 << 20, "\(taken) replies of \(replyBytes) bytes")
            let received = receive(descriptor, 200 * replyBytes)
            #expect(received.count == 200 * replyBytes)
            let one = results.reply(xid: 200).encoded
            #expect(received.suffix(one.count) == one[...])
            #expect(try server.calls().count == 200)
        }
    }

    @Test("closes a stream that announces more than a record may hold")
    func tooLong() throws {
        try serving(at: Self.loopback4) { _, tcp, calls in
            let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(descriptor) }
            let bytes: [UInt8] = [0x80, 0, 0x10, 1]
            #expect(send(descriptor, bytes, bytes.count, 0) == 4)
            #expect(receive(descriptor, 1) == [])
            let count = try calls().count
            #expect(count == 0)
        }
    }

    @Test("takes the listeners up again when NIO gave them up")
    func listensAgain() throws {
        try serving(at: Self.loopback4, givesUpListeners: true) { udp, tcp, _ in
            let datagrams = connected(to: udp, SOCK_DGRAM, patienceSeconds: 5)
            defer { close(datagrams) }
            let question = call.encoded(xid: 7)
            #expect(send(datagrams, question, question.count, 0) == question.count)
            #expect(receive(datagrams, reply.count) == reply)
            var answered: [UInt8] = []
            let deadline = ContinuousClock.now + .seconds(60)
            while answered.isEmpty, ContinuousClock.now < deadline {
                usleep(20_000)
                let descriptor = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5, isCertain: false)
                defer { close(descriptor) }
                let message = call.encoded(xid: 7)
                let header = RecordReader.header(forRecordBytes: message.count).bigEndian
                let record = withUnsafeBytes(of: header) { Array($0) } + message
                guard send(descriptor, record, record.count, Int32(MSG_NOSIGNAL)) > 0 else { continue }
                answered = receive(descriptor, reply.count + 4)
            }
            #expect(answered.suffix(reply.count) == reply[...])
        }
    }

    @Test("told to listen no more, it answers whom it has accepted, and takes neither datagrams nor connections")
    func stopsListening() throws {
        try serving(at: Self.loopback4, stopsAtCall: true) { udp, tcp, calls in
            let stream = connected(to: tcp, SOCK_STREAM, patienceSeconds: 5)
            defer { close(stream) }
            let message = call.encoded(xid: 7)
            let header = RecordReader.header(forRecordBytes: message.count).bigEndian
            let record = withUnsafeBytes(of: header) { Array($0) } + message
            for _ in 1...2 {
                #expect(send(stream, record, record.count, 0) == record.count)
                #expect(receive(stream, reply.count + 4).suffix(reply.count) == reply[...])
            }
            let datagrams = connected(to: udp, SOCK_DGRAM, patienceSeconds: 1)
            let late = connected(to: tcp, SOCK_STREAM, patienceSeconds: 1)
            defer { for descriptor in [datagrams, late] { close(descriptor) } }
            #expect(send(datagrams, message, message.count, 0) == message.count)
            #expect(send(late, record, record.count, 0) == record.count)
            #expect(receive(datagrams, reply.count) == [])
            #expect(receive(late, reply.count) == [])
            let count = try calls().count
            #expect(count == 2)
        }
    }

    @Test("says which address it can't listen at, and why")
    func inUse() throws {
        let bound = try ListeningSocket.bind(Self.loopback4, port: 0)
        defer { for socket in bound { close(socket.descriptor) } }
        let port = Self.port(of: bound[1].descriptor)
        let error = #expect(throws: SocketError.self) { try ListeningSocket.bind(Self.loopback4, port: port) }
        #expect(error?.description.contains("can't listen at") == true)
        #expect(error?.code == EADDRINUSE)
    }

    @Test(
        "a family that the kernel lacks is left out, and told of; anything else ends it",
        arguments: [
            (EAFNOSUPPORT, "::", true), (EAFNOSUPPORT, "fd00::1", true), (EADDRNOTAVAIL, "::", true),
            (EADDRNOTAVAIL, "fd00::1", false), (EADDRINUSE, "::", false), (EACCES, "::", false),
        ] as [(Int32, String, Bool)])
    func lackingFamily(code: Int32, address: String, isLeftOut: Bool) throws {
        let lacking = try #require(IPAddress(address))
        let failure = SocketError(operation: "can't listen at \(address)", code: code)
        let bind = { (address: IPAddress, port: UInt16) throws(SocketError) -> [ListeningSocket] in
            guard address != lacking else { throw failure }
            return [ListeningSocket(descriptor: -1, transport: .udp, address: address, port: port)]
        }
        let endpoints = [Settings.Endpoint(.v4(0), 111), Settings.Endpoint(lacking, 111)]
        var told: [SocketError] = []
        if isLeftOut {
            let sockets = try ListeningSocket.bind(endpoints, leavingOut: { told.append($0) }, by: bind)
            #expect(sockets.map(\.address) == [.v4(0)] && told == [failure])
            // At least one listener must remain.
            #expect(throws: failure) {
                try ListeningSocket.bind([endpoints[1]], leavingOut: { told.append($0) }, by: bind)
            }
        } else {
            #expect(throws: failure) {
                try ListeningSocket.bind(endpoints, leavingOut: { told.append($0) }, by: bind)
            }
        }
        #expect(told.count == (isLeftOut ? 1 : 0))
    }
}
