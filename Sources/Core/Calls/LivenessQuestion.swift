import Addresses

/// The question whether a program answers at a port of a server behind this host.
public struct LivenessQuestion: Hashable, Sendable {
    /// The server's address at which clients would use the service.
    public var address: IPAddress
    public var service: ServicePort
    public var program: Program
    public var version: UInt32

    public init(address: IPAddress, service: ServicePort, program: Program, version: UInt32) {
        self.address = address
        self.service = service
        self.program = program
        self.version = version
    }
}
