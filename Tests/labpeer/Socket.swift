import Addresses
import Glibc

/// A failed system call.
struct SystemError: Error {
    var what: String
    var code: Int32

    init(_ what: String, code: Int32 = errno) {
        self.what = what
        self.code = code
    }

    var text: String { "\(what): \(String(cString: strerror(code)))" }
}

/// The result of an attempt to connect.
enum ConnectOutcome: Equatable {
    case connected
    case refused
    case timeout
}

/// The result of a read from a connection.
enum ReadOutcome {
    case bytes([UInt8])
    case closed
    case refused
    case nothing
}

/// A non-blocking socket: each waiting method takes a deadline.
final class Socket {
    static let readBytesMax = 65_536

    let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    init(_ transport: Transport, isIPv4: Bool) throws(SystemError) {
        let type = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
        let flags = Int32(type.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(isIPv4 ? AF_INET : AF_INET6, flags, 0)
        guard descriptor >= 0 else { throw SystemError("socket") }
        if !isIPv4 { try set(Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
    }

    /// A stream to a unix socket.
    init(connectedTo path: String) throws(SystemError) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemError("socket") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw SystemError("connect \(path)") }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    deinit { close(descriptor) }

    func set(_ level: Int32, _ option: Int32, to value: Int32 = 1) throws(SystemError) {
        var value = value
        let result = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        guard result == 0 else { throw SystemError("setsockopt \(level)/\(option)") }
    }

    /// Binds the socket; addresses that no interface has are allowed (IP_FREEBIND).
    func bind(to endpoint: Endpoint) throws(SystemError) {
        // With SO_REUSEADDR, two sockets could get the same port when the kernel selects it.
        if endpoint.port != 0 { try set(SOL_SOCKET, SO_REUSEADDR) }
        if endpoint.address.isIPv4 {
            try set(Int32(IPPROTO_IP), IP_FREEBIND)
        } else {
            try set(Int32(IPPROTO_IPV6), 78)  // IPV6_FREEBIND, which Glibc's module lacks
        }
        guard endpoint.withSocketAddress({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
            throw SystemError("bind \(endpoint)")
        }
    }

    func listen() throws(SystemError) {
        guard Glibc.listen(descriptor, 4096) == 0 else { throw SystemError("listen") }
    }

    func accept() -> (Socket, Endpoint)? {
        var storage = sockaddr_storage()
        let accepted = withAddress(of: &storage) { Glibc.accept(descriptor, $0, $1) }
        guard accepted >= 0 else { return nil }
        _ = fcntl(accepted, F_SETFL, O_NONBLOCK)
        return (Socket(descriptor: accepted), Endpoint(storage))
    }

    /// Starts to connect; returns `nil` while the connect is under way.
    func beginConnect(to peer: Endpoint) throws(SystemError) -> ConnectOutcome? {
        if peer.withSocketAddress({ Glibc.connect(descriptor, $0, $1) }) == 0 { return .connected }
        switch errno {
        case EINPROGRESS: return nil
        case ECONNREFUSED: return .refused
        default: throw SystemError("connect \(peer)")
        }
    }

    /// Connects a TCP socket, or fixes the peer of a UDP socket.
    func connect(to peer: Endpoint, until deadline: ContinuousClock.Instant) throws(SystemError) -> ConnectOutcome {
        if let outcome = try beginConnect(to: peer) { return outcome }
        guard wait(for: POLLOUT, until: deadline) else { return .timeout }
        return try finishConnect(to: peer)
    }

    /// The outcome of a connect, once the socket has become writable.
    func finishConnect(to peer: Endpoint) throws(SystemError) -> ConnectOutcome {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 else { throw SystemError("getsockopt") }
        switch code {
        case 0: return .connected
        case ECONNREFUSED: return .refused
        case ETIMEDOUT: return .timeout
        default: throw SystemError("connect \(peer)", code: code)
        }
    }

    /// Waits for readiness; false when the deadline has passed.
    func wait(for events: Int32, until deadline: ContinuousClock.Instant) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        while true {
            let count = poll(&polled, 1, milliseconds(until: deadline))
            if count > 0 { return true }
            if count == 0, ContinuousClock.now >= deadline { return false }
        }
    }

    /// Sends the bytes that fit into the socket's buffer, in one call.
    func send(_ bytes: [UInt8]) throws(SystemError) {
        let sent = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        guard sent == bytes.count else { throw SystemError("send") }
    }

    func send(_ bytes: [UInt8], to peer: Endpoint) throws(SystemError) {
        let sent = peer.withSocketAddress { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }
        guard sent == bytes.count else { throw SystemError("sendto \(peer)") }
    }

    /// Sends the bytes that fit into the socket's buffer; returns their number.
    func sendSome(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        let sent = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent < 0, errno != EAGAIN { throw SystemError("send") }
        return max(0, sent)
    }

    /// Ends the sending direction of the connection.
    func endSending() throws(SystemError) {
        guard shutdown(descriptor, Int32(SHUT_WR)) == 0 else { throw SystemError("shutdown") }
    }

    /// Reads the received bytes; blocks until there are some, or until the deadline.
    func read(until deadline: ContinuousClock.Instant) throws(SystemError) -> ReadOutcome {
        guard wait(for: POLLIN, until: deadline) else { return .nothing }
        var bytes = [UInt8](repeating: 0, count: Self.readBytesMax)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        if count > 0 { return .bytes(Array(bytes[..<count])) }
        if count == 0 { return .closed }
        switch errno {
        case EAGAIN: return .nothing
        case ECONNREFUSED: return .refused
        case ECONNRESET, EPIPE: return .closed
        default: throw SystemError("recv")
        }
    }

    /// The next datagram and its sender; `nil` at the deadline.
    func receive(until deadline: ContinuousClock.Instant) throws(SystemError) -> ([UInt8], Endpoint)? {
        guard wait(for: POLLIN, until: deadline) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.readBytesMax)
        var storage = sockaddr_storage()
        let count = withAddress(of: &storage) { recvfrom(descriptor, &bytes, bytes.count, 0, $0, $1) }
        guard count >= 0 else { throw SystemError("recvfrom") }
        return (Array(bytes[..<count]), Endpoint(storage))
    }

    private func withAddress<Result>(
        of storage: inout sockaddr_storage,
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Result
    ) -> Result {
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &size) }
        }
    }
}

/// Raises the limit of descriptors, for many sockets at once.
func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

/// The time-out for `poll`: never negative, never less than the remaining time.
func milliseconds(until deadline: ContinuousClock.Instant) -> Int32 {
    let left = deadline - .now
    return left > .zero ? Int32(clamping: left.microseconds / 1000 + 1) : 0
}

extension Duration {
    var microseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}

/// Prints a line without buffering, so that a reader of a pipe sees it at once.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
}
