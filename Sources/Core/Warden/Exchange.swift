import Addresses
import AuditTrail
import Calls
import ONCRPC
import Policy
import Portmapper

/// One permitted call on its way from question to reply.
///
/// ```
/// asking ──answer──▶ matching ──trusted──▶ inspecting ──alive──▶ opening ──committed──▶ replied
///   │                   │                     │                    │
///   └───────────────────┴───────── denied ────┴────────────────────┘
/// ```
struct Exchange {
    typealias ID = Int

    /// A service in the reply, and the opening that it needs.
    struct Service: Hashable {
        var program: Program
        var port: ServicePort
        var rule: String?
        var open: Opening
    }

    /// rpcbind's answer that matched no registration.
    enum Unmatched: Hashable {
        case notRegistered
        case service(ServicePort)
    }

    /// The caller, the call, and the permission. This is most of an exchange, which changes hands a dozen times:
    /// hence an object. It never changes.
    final class Request: Sendable {
        let peer: Peer
        let xid: UInt32
        /// The length of the call.
        let byteCount: Int
        let call: PortmapperCall
        let permission: Permission

        init(peer: Peer, xid: UInt32, byteCount: Int, call: PortmapperCall, permission: Permission) {
            self.peer = peer
            self.xid = xid
            self.byteCount = byteCount
            self.call = call
            self.permission = permission
        }

        func with(_ permission: Permission) -> Request {
            Request(peer: peer, xid: xid, byteCount: byteCount, call: call, permission: permission)
        }
    }

    var request: Request
    /// rpcbind's answer that the snapshot didn't have; the registry is being read anew for it.
    var unmatched: Unmatched?
    /// The reply, once it is known.
    var result: PortmapperResult?
    var services: [Service] = []
    /// Acknowledgements of the kernel that the reply waits for.
    var outstanding = 0
}

/// The reason why a call is permitted, and the opening that it gets.
public struct Permission: Hashable, Sendable {
    /// The rule's label; `nil` for calls of this host, and of clients that only observe mode permits.
    public var rule: String?
    public var open: Opening
    /// The reason for which enforce mode would deny the call that observe mode answers.
    var liftedDenial: DenialReason?

    static let local = Permission(rule: nil, open: .never)
}
