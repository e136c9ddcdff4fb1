/// Why a call's authentication was refused (RFC 5531, 9: auth_stat).
public enum AuthStatus: UInt32, Hashable, Sendable {
    case badCredential = 1
    case rejectedCredential = 2
    case badVerifier = 3
    case rejectedVerifier = 4
    case tooWeak = 5
    case invalidResponse = 6
    case failed = 7
}

/// A reply message (RFC 5531, 9), always with an AUTH_NONE verifier.
public struct Reply: Hashable, Sendable {
    public enum Body: Hashable, Sendable {
        /// The procedure's results, as XDR.
        case success([UInt8])
        case programUnavailable
        case programMismatch(low: UInt32, high: UInt32)
        case procedureUnavailable
        case garbageArguments
        case systemError
        case rpcMismatch(low: UInt32, high: UInt32)
        case authError(AuthStatus)
    }

    public var xid: UInt32
    public var body: Body

    public init(xid: UInt32, body: Body) {
        self.xid = xid
        self.body = body
    }
}

extension Reply {
    /// Bytes before the results of a successful call: xid, type, status, verifier, status.
    public static let successHeaderBytes = 24

    private static let accepted: UInt32 = 0
    private static let denied: UInt32 = 1

    public func encode(into encoder: inout XDREncoder) {
        switch body {
        case .success(let results):
            accept(status: 0, into: &encoder)
            results.withUnsafeBufferPointer { encoder.raw($0) }
        case .programUnavailable: accept(status: 1, into: &encoder)
        case .programMismatch(let low, let high):
            accept(status: 2, into: &encoder)
            encoder.uint32(low)
            encoder.uint32(high)
        case .procedureUnavailable: accept(status: 3, into: &encoder)
        case .garbageArguments: accept(status: 4, into: &encoder)
        case .systemError: accept(status: 5, into: &encoder)
        case .rpcMismatch(let low, let high): encoder.words(xid, MessageType.reply, Self.denied, 0, low, high)
        case .authError(let status):
            for word in [xid, MessageType.reply, Self.denied, 1, status.rawValue] { encoder.uint32(word) }
        }
    }

    private func accept(status: UInt32, into encoder: inout XDREncoder) {
        encoder.words(xid, MessageType.reply, Self.accepted, AuthenticationFlavor.none.rawValue, 0, status)
    }

    /// The whole message as bytes.
    public var encoded: [UInt8] {
        var encoder = XDREncoder()
        encode(into: &encoder)
        return encoder.bytes
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(XDRError) {
        var decoder = XDRDecoder(bytes)
        xid = try decoder.uint32()
        let type = try decoder.uint32()
        guard type == MessageType.reply else { throw .invalid(type) }
        body = try decoder.bool() ? Self.deniedBody(&decoder) : Self.acceptedBody(&decoder)
    }

    /// The xid of the reply to a successful call, and the offset of its results; `nil` for any other message. The
    /// results may be incomplete.
    public static func successHeader(_ bytes: UnsafeRawBufferPointer) -> (xid: UInt32, byteCount: Int)? {
        var decoder = XDRDecoder(bytes)
        do {
            let xid = try decoder.uint32()
            guard try decoder.uint32() == MessageType.reply, try decoder.uint32() == accepted else { return nil }
            _ = try decoder.uint32()
            _ = try decoder.opaque(max: RPCLimits.authenticationBytesMax)
            guard try decoder.uint32() == 0 else { return nil }
            return (xid, bytes.count - decoder.remaining)
        } catch {
            return nil
        }
    }

    private static func acceptedBody(_ decoder: inout XDRDecoder) throws(XDRError) -> Body {
        _ = try decoder.uint32()
        _ = try decoder.opaque(max: RPCLimits.authenticationBytesMax)
        let body: Body
        switch try decoder.uint32() {
        case 0: return .success(decoder.rest())
        case 1: body = .programUnavailable
        case 2: body = .programMismatch(low: try decoder.uint32(), high: try decoder.uint32())
        case 3: body = .procedureUnavailable
        case 4: body = .garbageArguments
        case 5: body = .systemError
        case let status: throw .invalid(status)
        }
        try decoder.finish()
        return body
    }

    private static func deniedBody(_ decoder: inout XDRDecoder) throws(XDRError) -> Body {
        let body: Body
        switch try decoder.uint32() {
        case 0: body = .rpcMismatch(low: try decoder.uint32(), high: try decoder.uint32())
        case 1:
            let status = try decoder.uint32()
            guard let known = AuthStatus(rawValue: status) else { throw .invalid(status) }
            body = .authError(known)
        case let status: throw .invalid(status)
        }
        try decoder.finish()
        return body
    }
}
