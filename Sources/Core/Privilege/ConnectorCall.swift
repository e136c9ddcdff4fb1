import Addresses
import ONCRPC

/// A request of the network-facing process to the connector, which alone may make unix sockets.
///
/// Each request but the first has a number that the caller chose, which the answer repeats; answers come in any
/// order.
public enum ConnectorCall: Hashable, Sendable {
    /// The path of rpcbind's socket: sent once, before a stranger's first byte.
    case begin(rpcbindPath: String)
    /// Asks for a stream to rpcbind.
    case connect(UInt32)
    case resolve(UInt32, name: String)
    /// Asks how long the name's addresses may be used.
    case lifetime(UInt32, name: String)
}

/// The answer to a ``ConnectorCall``.
public enum ConnectorReply: Hashable, Sendable {
    /// The answer to `begin`.
    case ready
    /// The reason for which the connector can't begin; it has ended.
    case failed(String)
    /// An errno. If it is zero, the stream comes with the message.
    case connected(UInt32, errno: Int32)
    case resolved(UInt32, HostAddresses)
    /// The name has no address: a code of getaddrinfo(3).
    case unresolved(UInt32, code: Int32)
    case lifetime(UInt32, Duration)
}

extension ConnectorCall {
    public static let messageBytesMax = 4096
    /// The longest path in `sockaddr_un`.
    private static let pathBytesMax = 107
    /// The longest domain name (RFC 1035, 2.3.4), with some to spare.
    static let nameBytesMax = 255

    /// The call as XDR (RFC 4506).
    public var encoded: [UInt8] {
        var encoder = XDREncoder()
        switch self {
        case .begin(let path):
            encoder.uint32(0)
            encoder.text(path)
        case .connect(let number):
            encoder.uint32(1)
            encoder.uint32(number)
        case .resolve(let number, let name):
            encoder.uint32(2)
            encoder.uint32(number)
            encoder.text(name)
        case .lifetime(let number, let name):
            encoder.uint32(3)
            encoder.uint32(number)
            encoder.text(name)
        }
        return encoder.bytes
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(XDRError) {
        var decoder = XDRDecoder(bytes)
        self = try Self.read(&decoder)
        try decoder.finish()
    }

    private static func read(_ decoder: inout XDRDecoder) throws(XDRError) -> Self {
        switch try decoder.uint32() {
        case 0: .begin(rpcbindPath: try decoder.string(max: pathBytesMax))
        case 1: .connect(try decoder.uint32())
        case 2: .resolve(try decoder.uint32(), name: try decoder.text(max: nameBytesMax))
        case 3: .lifetime(try decoder.uint32(), name: try decoder.text(max: nameBytesMax))
        case let other: throw .invalid(other)
        }
    }
}

extension ConnectorReply {
    /// The reply as XDR (RFC 4506).
    public var encoded: [UInt8] {
        var encoder = XDREncoder()
        switch self {
        case .ready: encoder.uint32(0)
        case .failed(let why):
            encoder.uint32(1)
            encoder.string(why, max: MessageLimits.textBytesMax)
        case .connected(let number, let errno):
            encoder.uint32(2)
            encoder.uint32(number)
            encoder.uint32(UInt32(bitPattern: errno))
        case .resolved(let number, let addresses):
            encoder.uint32(3)
            encoder.uint32(number)
            encoder.uint32(addresses.unknown?.rawValue ?? 0)
            encoder.bool(addresses.isCut)
            encoder.list(addresses.known) { $0.address($1) }
        case .unresolved(let number, let code):
            encoder.uint32(4)
            encoder.uint32(number)
            encoder.uint32(UInt32(bitPattern: code))
        case .lifetime(let number, let lifetime):
            encoder.uint32(5)
            encoder.uint32(number)
            encoder.duration(lifetime)
        }
        return encoder.bytes
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(XDRError) {
        var decoder = XDRDecoder(bytes)
        self = try Self.read(&decoder)
        try decoder.finish()
    }

    private static func read(_ decoder: inout XDRDecoder) throws(XDRError) -> Self {
        switch try decoder.uint32() {
        case 0: return .ready
        case 1: return .failed(try decoder.string(max: MessageLimits.textBytesMax))
        case 2: return .connected(try decoder.uint32(), errno: Int32(bitPattern: try decoder.uint32()))
        case 3:
            let number = try decoder.uint32()
            return .resolved(number, try decoder.hostAddresses())
        case 4: return .unresolved(try decoder.uint32(), code: Int32(bitPattern: try decoder.uint32()))
        case 5: return .lifetime(try decoder.uint32(), try decoder.duration())
        case let other: throw .invalid(other)
        }
    }
}

extension XDRDecoder {
    fileprivate mutating func hostAddresses() throws(XDRError) -> HostAddresses {
        let number = try uint32()
        let unknown = HostAddresses.Family(rawValue: number)
        guard unknown != nil || number == 0 else { throw .invalid(number) }
        let isCut = try bool()
        let known = try list(max: HostAddresses.countMax, itemBytesMin: ItemBytes.address) {
            decoder throws(XDRError) in try decoder.address()
        }
        return HostAddresses(known, unknown: unknown, isCut: isCut)
    }
}
