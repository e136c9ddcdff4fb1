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

/// What a call to a server's port told. The greater answer proves more.
public enum LivenessAnswer: Int, Comparable, Sendable {
    /// The server's host refused: nobody listens at the port.
    case refused
    /// Nothing answered, or not the program that was called.
    case dead
    /// The program answered; or the server's services aren't called, and count as alive.
    case alive

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
