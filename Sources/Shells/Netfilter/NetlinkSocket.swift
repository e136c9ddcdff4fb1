import CNetfilter
import Glibc

/// A netlink socket with the kernel's extended error texts enabled.
final class NetlinkSocket {
    enum Received {
        case bytes(UnsafeRawBufferPointer)
        /// No message has arrived yet.
        case nothing
        case failed(errno: Int32)
    }

    private static let answerSecondsMax = 10

    let portID: UInt32
    let descriptor: Int32
    private let socket: OpaquePointer
    /// The kernel fills at most 32 KiB of a dump at once; events come in pages.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 16)
    private var lastSequence: UInt32 = 0
    private var sendBufferBytes = 0

    /// - Parameter bus: `NETLINK_NETFILTER` or another protocol of `linux/netlink.h`.
    init(bus: Int32, isBlocking: Bool = true) throws(NetfilterError) {
        let flags = isBlocking ? SOCK_CLOEXEC.rawValue : SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        guard let socket = mnl_socket_open2(bus, Int32(flags)) else {
            let number = errno
            buffer.deallocate()
            throw .failed(doing: "netlink socket", errno: number, detail: errorText(number))
        }
        self.socket = socket
        descriptor = mnl_socket_get_fd(socket)
        guard mnl_socket_bind(socket, 0, 0) == 0 else {
            let number = errno
            mnl_socket_close(socket)
            buffer.deallocate()
            throw .failed(doing: "netlink bind", errno: number, detail: errorText(number))
        }
        portID = mnl_socket_get_portid(socket)
        // Both options only add detail to errors; the socket works without them on kernels that lack them.
        setOption(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        setOption(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        // The kernel answers at once or fails with ENOBUFS; the timeout prevents waiting for ever if it does neither.
        var patience = timeval(tv_sec: Self.answerSecondsMax, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit {
        mnl_socket_close(socket)
        buffer.deallocate()
    }

    func nextSequence() -> UInt32 {
        lastSequence &+= 1
        // Events have the sequence number 0.
        if lastSequence == 0 { lastSequence = 1 }
        return lastSequence
    }

    /// Skips the numbers of a batch that counted its messages itself, from the last number handed out.
    func skipSequences(_ count: UInt32) {
        let (next, isOver) = lastSequence.addingReportingOverflow(count)
        lastSequence = isOver ? 0 : next
    }

    @discardableResult
    func setOption(_ level: Int32, _ option: Int32, _ value: Int32) -> Int32 {
        var value = value
        return setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 ? 0 : errno
    }

    /// Sends all of `bytes` to the kernel, which has processed them when this returns. Returns errno, or 0.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        growSendBuffer(bytes.count)
        let sent = Glibc.send(descriptor, bytes.baseAddress, bytes.count, 0)
        return sent == bytes.count ? 0 : sent < 0 ? errno : EMSGSIZE
    }

    func receive(waits: Bool) -> Received {
        while true {
            let flags = Int32(MSG_TRUNC) | (waits ? 0 : Int32(MSG_DONTWAIT))
            let count = recv(descriptor, buffer.baseAddress, buffer.count, flags)
            if count > buffer.count { return .failed(errno: EMSGSIZE) }
            if count >= 0 { return .bytes(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .nothing
            default: return .failed(errno: errno)
            }
        }
    }

    /// A message must fit the socket's send buffer, which starts at about 200 KiB.
    private func growSendBuffer(_ bytes: Int) {
        guard bytes > sendBufferBytes, bytes > 1 << 16 else { return }
        sendBufferBytes = max(bytes, 1 << 20)
        // The kernel doubles the value for its own bookkeeping; if the option is refused, send() fails with EMSGSIZE.
        setOption(SOL_SOCKET, SO_SNDBUFFORCE, Int32(clamping: sendBufferBytes))
    }
}

extension NetlinkSocket {
    /// Sends a request and calls `each` for every message of the answer. Returns `false` if the kernel says that
    /// the answer is inconsistent because of changes during the dump.
    ///
    /// - Parameter isSingle: whether the answer is one message, or an error, without an acknowledgement after it.
    func ask(
        _ doing: String, _ request: borrowing MessageBuffer, sequence: UInt32, isSingle: Bool = false,
        each: (NetlinkMessage) -> Void
    ) throws(NetfilterError) -> Bool {
        let sent = send(request.bytes)
        guard sent == 0 else { throw .failed(doing: doing, errno: sent, detail: errorText(sent)) }
        var isConsistent = true
        while true {
            switch receive(waits: true) {
            case .failed(let number): throw .failed(doing: doing, errno: number, detail: errorText(number))
            case .nothing: throw .failed(doing: doing, errno: EAGAIN, detail: errorText(EAGAIN))
            case .bytes(let bytes):
                for message in NetlinkMessages(bytes) where message.sequence == sequence && message.portID == portID {
                    if message.flags & NLM_F_DUMP_INTR != 0 { isConsistent = false }
                    guard let end = Self.end(message) else {
                        each(message)
                        if isSingle { return isConsistent }
                        continue
                    }
                    guard end.errno == 0 else { throw .failed(doing: doing, errno: end.errno, detail: end.text) }
                    return isConsistent
                }
            }
        }
    }

    /// The same for nfnetlink; `body` writes the request's attributes.
    func askNetfilter(
        _ doing: String, subsystem: Int32, message: UInt32, flags: Int32, family: Int, resource: UInt16 = 0,
        _ body: (inout MessageBuffer) -> Void, each: (NetlinkMessage) -> Void = { _ in }
    ) throws(NetfilterError) -> Bool {
        var request = MessageBuffer()
        let sequence = nextSequence()
        request.beginNetfilter(
            subsystem: subsystem, message: message, flags: flags, family: UInt8(family), resource: resource,
            sequence: sequence)
        body(&request)
        request.end()
        return try ask(doing, request, sequence: sequence, each: each)
    }

    /// NLM_F_DUMP; the macro isn't visible in Swift.
    static let dump = NLM_F_ROOT | NLM_F_MATCH

    private static func end(_ message: NetlinkMessage) -> Acknowledgement? {
        switch message.type {
        case NLMSG_ERROR: Acknowledgement(error: message)
        case NLMSG_DONE: Acknowledgement(done: message)
        default: nil
        }
    }
}
