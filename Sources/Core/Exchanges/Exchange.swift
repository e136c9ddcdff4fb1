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
public struct Exchange: Sendable {
    public typealias ID = Int

    /// rpcbind's answer that matched no registration.
    public enum Unmatched: Hashable, Sendable {
        case notRegistered
        case service(ServicePort)
    }

    /// The caller, the call, the server that it asked, and the permission. This is most of an exchange, which changes hands a dozen times:
    /// hence an object. It never changes.
    public final class Request: Sendable {
        public let peer: Peer
        public let xid: UInt32
        /// The length of the call.
        public let byteCount: Int
        /// The server that was asked.
        public let server: ServerNumber
        /// The address of it that was asked; or the address from which it calls a client back.
        public let asked: ServerID
        public let call: PortmapperCall
        /// `nil` for other calls.
        public let lookUp: LookUp?
        public let permission: Permission

        public init(
            peer: Peer, xid: UInt32, byteCount: Int, call: consuming PortmapperCall, permission: Permission,
            server: ServerNumber = 0, asked: ServerID = .thisHost
        ) {
            self.peer = peer
            self.xid = xid
            self.byteCount = byteCount
            lookUp = call.lookUp(from: peer, at: asked)
            self.call = call
            self.permission = permission
            self.server = server
            self.asked = asked
        }

        /// The client for which ports are opened. A server that calls back asks the client.
        public var client: IPAddress { asked.isCallback ? peer.asked.host : peer.address }

        public func with(_ permission: Permission) -> Request {
            Request(
                peer: peer, xid: xid, byteCount: byteCount, call: call, permission: permission, server: server,
                asked: asked)
        }
    }

    public var request: Request
    /// rpcbind's answer that the snapshot didn't have; the registry is being read anew for it.
    public var unmatched: Unmatched?
    /// The reply, once it is known.
    public var result: PortmapperResult?
    public var services: [ServiceOpening] = []
    /// Acknowledgements of the kernel that the reply waits for.
    public var outstanding = 0

    init(_ request: Request) { self.request = request }
}

/// The reason why a call is permitted, and the opening that it gets.
public struct Permission: Hashable, Sendable {
    /// The rule's label; `nil` for calls of this host, and of clients that only observe mode permits.
    public var rule: String?
    public var open: Opening
    /// The reason for which enforce mode would deny the call that observe mode answers.
    public var liftedDenial: DenialReason?

    public init(rule: String?, open: Opening, liftedDenial: DenialReason? = nil) {
        self.rule = rule
        self.open = open
        self.liftedDenial = liftedDenial
    }

    public static let local = Permission(rule: nil, open: .never)
}
