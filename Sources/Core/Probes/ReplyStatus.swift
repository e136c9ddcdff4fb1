import ONCRPC

/// What a message tells as the reply to a call.
///
/// More lenient than ``Reply``, since the results count at most: services of other hosts are not all well made.
public enum ReplyStatus: Hashable, Sendable {
    case success(results: [UInt8])
    /// PROG_MISMATCH, with the versions that the program has; `nil` if it doesn't tell them.
    case mismatch(ClosedRange<UInt32>?)
    /// Accepted, and not carried out.
    case unsuccessful(Fault)
    /// MSG_DENIED, with the auth_stat; `nil` if another reason is told.
    case denied(UInt32?)
    /// The message answers another call, or is too short to tell which.
    case foreign
    /// The message is no reply.
    case broken

    /// Values of accept_stat (RFC 5531, 9).
    public enum Fault: UInt32, Sendable {
        case programUnavailable = 1
        case procedureUnavailable = 3
        case garbageArguments = 4
        case systemError = 5

        /// The standard's name.
        public var name: String {
            switch self {
            case .programUnavailable: "PROG_UNAVAIL"
            case .procedureUnavailable: "PROC_UNAVAIL"
            case .garbageArguments: "GARBAGE_ARGS"
            case .systemError: "SYSTEM_ERR"
            }
        }
    }

    /// The words of a reply (RFC 5531, 9).
    private enum Word {
        static let reply: UInt32 = 1
        static let accepted: UInt32 = 0
        static let denied: UInt32 = 1
        static let authError: UInt32 = 1
        static let success: UInt32 = 0
        static let programMismatch: UInt32 = 2
    }

    public init(of message: UnsafeRawBufferPointer, to xid: UInt32) {
        var decoder = XDRDecoder(message)
        do {
            guard decoder.remaining >= 4, try decoder.uint32() == xid else {
                self = .foreign
                return
            }
            self = try decoder.uint32() == Word.reply ? Self.status(&decoder) : .broken
        } catch {
            self = .broken
        }
    }

    private static func status(_ decoder: inout XDRDecoder) throws(XDRError) -> ReplyStatus {
        switch try decoder.uint32() {
        case Word.denied:
            return .denied(decoder.words(2).flatMap { $0[0] == Word.authError ? $0[1] : nil })
        case Word.accepted:
            _ = try decoder.uint32()
            _ = try decoder.opaque(max: RPCLimits.authenticationBytesMax)
            switch try decoder.uint32() {
            case Word.success: return .success(results: decoder.rest())
            case Word.programMismatch:
                return .mismatch(decoder.words(2).flatMap { $0[0] <= $0[1] ? $0[0]...$0[1] : nil })
            case let status: return Fault(rawValue: status).map(ReplyStatus.unsuccessful) ?? .broken
            }
        case _: return .broken
        }
    }
}

extension XDRDecoder {
    /// `nil` if fewer are left.
    fileprivate mutating func words(_ count: Int) -> [UInt32]? {
        var words: [UInt32] = []
        do {
            for _ in 0..<count { words.append(try uint32()) }
        } catch {
            return nil
        }
        return words
    }
}

extension AuthStatus {
    /// The standard's name of an auth_stat, with its number if it is none of RFC 5531's first seven.
    static func name(of number: UInt32) -> String {
        switch AuthStatus(rawValue: number) {
        case .badCredential: "AUTH_BADCRED"
        case .rejectedCredential: "AUTH_REJECTEDCRED"
        case .badVerifier: "AUTH_BADVERF"
        case .rejectedVerifier: "AUTH_REJECTEDVERF"
        case .tooWeak: "AUTH_TOOWEAK"
        case .invalidResponse: "AUTH_INVALIDRESP"
        case .failed: "AUTH_FAILED"
        case nil: "AUTH_ERROR \(number)"
        }
    }
}
