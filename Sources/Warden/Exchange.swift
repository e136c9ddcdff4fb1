import ONCRPC
import Policy
import Portmapper

/// One permitted call on its way from question to reply.
///
/// ```
/// asking ──answer──▶ explaining ──trusted──▶ inspecting ──alive──▶ opening ──committed──▶ replied
///   │                    │                       │                    │
///   └────────────────────┴────────── denied ─────┴────────────────────┘
/// ```
struct Exchange {
    typealias ID = Int

    /// A service that the reply tells of, and what that opens.
    struct Service: Hashable {
        var program: Program
        var port: ServicePort
        var rule: String?
        var open: Opening
    }

    var peer: Peer
    var xid: UInt32
    var call: PortmapperCall
    var permission: Permission
    /// rpcbind's answer, until the registry explains it.
    var answered: ServicePort?
    /// The registry was read since the answer, and still may not explain it.
    var isRegistryFresh = false
    /// The reply, once it is known.
    var result: PortmapperResult?
    var services: [Service] = []
    /// Acknowledgements of the kernel that the reply waits for.
    var outstanding = 0
}

/// Why a call is permitted, and what that opens.
public struct Permission: Hashable, Sendable {
    /// The rule's label; `nil` for calls of this host, and of clients that only observe mode permits.
    public var rule: String?
    public var open: Opening
    /// Observe mode answers although enforce would deny for this reason.
    var liftedDenial: DenialReason?

    static let local = Permission(rule: nil, open: .never)
}
