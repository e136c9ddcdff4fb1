/// Message types (RFC 5531, 9).
enum MessageType {
    static let call: UInt32 = 0
    static let reply: UInt32 = 1
}

/// The version of the RPC protocol itself (RFC 5531, 9).
let rpcVersion: UInt32 = 2

/// Limits for fields of a peer's message.
public enum RPCLimits {
    /// RFC 5531, 8.2: an authentication body is at most 400 bytes.
    public static let authenticationBytesMax = 400
    /// RFC 5531, appendix A: stamp, an empty machine name, uid, gid, no groups.
    static let systemCredentialBytesMin = 20
}

/// The header of a call message, which the arguments follow.
public struct CallHeader: Hashable, Sendable {
    public var xid: UInt32
    public var program: UInt32
    public var version: UInt32
    public var procedure: UInt32

    public init(xid: UInt32, program: UInt32, version: UInt32, procedure: UInt32) {
        self.xid = xid
        self.program = program
        self.version = version
        self.procedure = procedure
    }
}

/// Why a message is not a call that can be dispatched, with the data for its reply.
public enum CallFault: Error, Hashable, Sendable {
    /// Too short, a length out of bounds, or no call at all: there is no reply.
    case undecodable
    /// A version of RPC other than 2.
    case rpcMismatch(xid: UInt32)
    /// An AUTH_SYS body that is too short for any `authsys_parms`.
    case badCredential(CallHeader)
    /// An authentication flavour that rpcwarden doesn't serve.
    case rejectedCredential(CallHeader)

    /// The reply that RFC 5531, 9 requires, or `nil` for none.
    public var owed: Reply? {
        switch self {
        case .undecodable: nil
        case .rpcMismatch(let xid): Reply(xid: xid, body: .rpcMismatch(low: rpcVersion, high: rpcVersion))
        case .badCredential(let header): Reply(xid: header.xid, body: .authError(.badCredential))
        case .rejectedCredential(let header): Reply(xid: header.xid, body: .authError(.rejectedCredential))
        }
    }
}

extension CallHeader {
    /// Decodes a call up to its arguments, and leaves the decoder there.
    ///
    /// Credentials are not used, since AUTH_SYS can't be verified. So any body that can be a credential is
    /// accepted: clients send empty machine names, and bytes after the last group.
    public init(from decoder: inout XDRDecoder) throws(CallFault) {
        do {
            let xid = try decoder.uint32()
            guard try decoder.uint32() == MessageType.call else { throw CallFault.undecodable }
            guard try decoder.uint32() == rpcVersion else { throw CallFault.rpcMismatch(xid: xid) }
            self.init(
                xid: xid, program: try decoder.uint32(), version: try decoder.uint32(),
                procedure: try decoder.uint32())
            let flavor = try decoder.uint32()
            let body = try decoder.opaque(max: RPCLimits.authenticationBytesMax)
            _ = try decoder.uint32()
            _ = try decoder.opaque(max: RPCLimits.authenticationBytesMax)
            try accept(flavor: flavor, body: body)
        } catch let fault as CallFault {
            throw fault
        } catch {
            throw .undecodable
        }
    }

    private func accept(flavor: UInt32, body: UnsafeRawBufferPointer) throws(CallFault) {
        switch AuthenticationFlavor(rawValue: flavor) {
        case .some(.none): return
        case .sys: guard body.count >= RPCLimits.systemCredentialBytesMin else { throw .badCredential(self) }
        case nil: throw .rejectedCredential(self)
        }
    }

    /// Appends the call's header with AUTH_NONE.
    public func encode(into encoder: inout XDREncoder) {
        encoder.words(xid, MessageType.call, rpcVersion, program, version, procedure)
        for _ in 0..<2 {
            encoder.uint32(AuthenticationFlavor.none.rawValue)
            encoder.uint32(0)
        }
    }
}

/// The authentication flavours that are served (RFC 5531, 8.2).
public enum AuthenticationFlavor: UInt32, Sendable {
    case none = 0
    case sys = 1
}

extension CallFault {
    /// One word for the log: as RFC 5531, 9 names it, if it does.
    public var name: String {
        switch self {
        case .undecodable: "undecodable"
        case .rpcMismatch: "RPC_MISMATCH"
        case .badCredential: "AUTH_BADCRED"
        case .rejectedCredential: "AUTH_REJECTEDCRED"
        }
    }
}
