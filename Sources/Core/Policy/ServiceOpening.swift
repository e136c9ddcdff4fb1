import Addresses

/// A service that a reply names, and the opening that its client gets.
public struct ServiceOpening: Hashable, Sendable {
    public var program: Program
    public var port: ServicePort
    /// The rule's label; `nil` if no rule permits the program.
    public var rule: String?
    public var open: Opening

    public init(program: Program, port: ServicePort, rule: String?, open: Opening) {
        self.program = program
        self.port = port
        self.rule = rule
        self.open = open
    }
}
