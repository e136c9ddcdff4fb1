import Addresses
import Glibc
import ONCRPC

/// `labpeer listen`: a substitute for a real service, which runs until it is killed.
struct ListenCommand {
    static let usage = "labpeer listen --at ADDR --port N --over tcp|udp [--echo [--answer]]"

    private let endpoint: Endpoint
    private let transport: Transport
    /// Sends received bytes back, instead of answering each call with an empty success.
    private let echoes: Bool
    /// Answers calls all the same: a server's services are asked whether they live.
    private let answersToo: Bool

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(list, options: ["--at", "--port", "--over"], flags: ["--echo", "--answer"])
        guard arguments.words.isEmpty else { throw UsageError("unexpected \(arguments.words[0])") }
        guard let address = try arguments.address("--at") else { throw UsageError("--at ADDR is missing") }
        guard let port: UInt16 = try arguments.number("--port") else { throw UsageError("--port N is missing") }
        endpoint = Endpoint(address, port)
        transport = try arguments.transport("--over")
        echoes = arguments.has("--echo")
        answersToo = arguments.has("--answer")
    }

    func run() throws(SystemError) -> Int32 {
        let socket = try Socket(transport, isIPv4: endpoint.address.isIPv4)
        try socket.bind(to: endpoint)
        if transport == .tcp { try socket.listen() }
        say("listening \(endpoint)")
        switch transport {
        case .udp: try serveDatagrams(socket)
        case .tcp: try serveConnections(socket)
        }
    }

    private func serveDatagrams(_ socket: Socket) throws(SystemError) -> Never {
        while true {
            guard let (bytes, from) = try socket.receive(until: .now + .seconds(3600)) else { continue }
            say("datagram from \(from) bytes=\(bytes.count)")
            if let answer = sendsBack(bytes) ? bytes : answer(to: bytes) { try socket.send(answer, to: from) }
        }
    }

    private struct Connection {
        var socket: Socket
        var peer: Endpoint
        var reader = RecordReader(recordBytesMax: 1 << 20)
    }

    private func serveConnections(_ listener: Socket) throws(SystemError) -> Never {
        var connections: [Int32: Connection] = [:]
        while true {
            let descriptors = [listener.descriptor] + connections.keys
            var polled = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            poll(&polled, nfds_t(polled.count), -1)
            for ready in polled where ready.revents != 0 {
                if ready.fd != listener.descriptor {
                    serve(&connections[ready.fd])
                } else if let (socket, peer) = listener.accept() {
                    say("accepted \(peer)")
                    connections[socket.descriptor] = Connection(socket: socket, peer: peer)
                }
            }
        }
    }

    /// Answers the received bytes; a connection that ended becomes `nil`.
    private func serve(_ connection: inout Connection?) {
        guard var open = connection else { return }
        do {
            guard case .bytes(let bytes) = try open.socket.read(until: .now) else {
                say("closed \(open.peer)")
                connection = nil
                return
            }
            if sendsBack(bytes.dropFirst(4)) {
                try open.socket.send(bytes)
            } else {
                for record in bytes.withUnsafeBytes({ open.reader.feed($0) }) {
                    if let answer = answer(to: record) { try open.socket.send(framed(answer)) }
                }
            }
            connection = open
        } catch {
            say("closed \(open.peer)")
            connection = nil
        }
    }

    /// A call has its type after the xid, RFC 5531, 9. No text of a test looks like that.
    private func sendsBack(_ message: some Sequence<UInt8>) -> Bool {
        echoes && !(answersToo && Array(message.dropFirst(4).prefix(8)) == [0, 0, 0, 0, 0, 0, 0, 2])
    }

    private func answer(to bytes: [UInt8]) -> [UInt8]? {
        bytes.withUnsafeBytes { raw in
            var decoder = XDRDecoder(raw)
            do throws(CallFault) {
                let header = try CallHeader(from: &decoder)
                return Reply(xid: header.xid, body: .success([])).encoded
            } catch {
                return error.owed?.encoded
            }
        }
    }
}
