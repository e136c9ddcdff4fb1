import Addresses

/// One registration of rpcbind, parsed.
public struct Registration: Hashable, Sendable {
    public var program: Program
    public var version: UInt32
    public var netID: NetID
    /// `nil` for `local`, which has a path as its address.
    public var address: UniversalAddress?
    /// The address in canonical form, fitted to the netid's family; a path for `local`.
    public var addressText: String
    /// `superuser`, a uid in decimal, or `unknown`.
    public var owner: String

    /// `nil` for a netid that is not served, or an invalid address.
    public init?(_ rpcb: RPCB) {
        guard let netID = NetID(rawValue: rpcb.netID) else { return nil }
        if netID != .local {
            guard let address = UniversalAddress(rpcb.address), address.port != 0 else { return nil }
            self.address = address.fitted(to: netID)
        }
        program = rpcb.program
        version = rpcb.version
        self.netID = netID
        addressText = address?.description ?? rpcb.address
        owner = rpcb.owner
    }

    /// The port that the service listens at; `nil` for `local`.
    public var service: ServicePort? {
        guard let transport = netID.transport, let port = address?.port else { return nil }
        return ServicePort(transport, port)
    }

    /// Whether only clients on this host can reach the service.
    public var isForThisHostOnly: Bool { address?.host.isLoopback ?? true }
}

/// The registrations of rpcbind, in its order.
public struct Registry: Hashable, Sendable {
    public let registrations: [Registration]
    /// Registrations over RDMA: packet filters don't see their packets.
    public let unguardable: [RPCB]
    private let byProgram: [Program: [Registration]]

    /// RFC 5666, 7.
    private static let rdmaNetIDs = ["rdma", "rdma6"]

    public init(_ list: [RPCB] = []) {
        registrations = list.compactMap(Registration.init)
        unguardable = list.filter { Self.rdmaNetIDs.contains($0.netID) }
        byProgram = Dictionary(grouping: registrations, by: \.program)
    }

    public func registrations(of program: Program) -> [Registration] { byProgram[program] ?? [] }
}
