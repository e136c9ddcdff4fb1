import Addresses

/// Whether a program answers an RPC NULL call at a server's port.
public struct LivenessQuestion: Hashable, Sendable {
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
