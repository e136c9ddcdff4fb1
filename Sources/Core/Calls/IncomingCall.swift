import ONCRPC
import Portmapper

/// A message that reached port 111, decoded whole or not at all.
public struct IncomingCall: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        case call(PortmapperCall)
        /// A well-formed call of a program or procedure that isn't served.
        case undispatchable(CallHeader, DispatchFault)
        case faulty(CallFault)
    }

    public var peer: Peer
    /// 0 if the message is too short to have one.
    public var xid: UInt32
    /// The length of the message, without record marking.
    public var byteCount: Int
    public var content: Content

    public init(peer: Peer, xid: UInt32, byteCount: Int, content: Content) {
        self.peer = peer
        self.xid = xid
        self.byteCount = byteCount
        self.content = content
    }

    public init(decoding bytes: UnsafeRawBufferPointer, from peer: Peer) {
        var decoder = XDRDecoder(bytes)
        do {
            let header = try CallHeader(from: &decoder)
            do {
                let call = try PortmapperCall(header, arguments: &decoder)
                self.init(peer: peer, xid: header.xid, byteCount: bytes.count, content: .call(call))
            } catch {
                self.init(
                    peer: peer, xid: header.xid, byteCount: bytes.count, content: .undispatchable(header, error))
            }
        } catch {
            self.init(peer: peer, xid: error.owed?.xid ?? 0, byteCount: bytes.count, content: .faulty(error))
        }
    }
}
