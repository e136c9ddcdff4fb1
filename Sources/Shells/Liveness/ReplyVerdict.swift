import ONCRPC

/// What a message tells of the program that was called.
///
/// More lenient than ``Reply``, since only a few words of it matter.
enum ReplyVerdict: Hashable {
    /// The program answers at the port.
    case alive
    /// Something else does, or the program can't answer.
    case dead
    /// The message answers another call.
    case foreign

    /// The words of a reply (RFC 5531, 9).
    private enum Word {
        static let reply: UInt32 = 1
        static let accepted: UInt32 = 0
        static let denied: UInt32 = 1
        static let success: UInt32 = 0
        static let programMismatch: UInt32 = 2
    }

    init(of message: UnsafeRawBufferPointer, to xid: UInt32) {
        var decoder = XDRDecoder(message)
        do {
            guard try decoder.uint32() == xid else {
                self = .foreign
                return
            }
            self = try decoder.uint32() == Word.reply ? Self.verdict(&decoder) : .dead
        } catch {
            self = .dead
        }
    }

    private static func verdict(_ decoder: inout XDRDecoder) throws(XDRError) -> ReplyVerdict {
        switch try decoder.uint32() {
        // A refusal of our credential: the program is there, and doesn't serve this host.
        case Word.denied: return .alive
        case Word.accepted:
            _ = try decoder.uint32()
            _ = try decoder.opaque(max: RPCLimits.authenticationBytesMax)
            switch try decoder.uint32() {
            case Word.success, Word.programMismatch: return .alive
            case _: return .dead
            }
        case _: return .dead
        }
    }
}
