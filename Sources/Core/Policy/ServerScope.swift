/// The servers that a rule is about.
public enum ServerScope: Hashable, Sendable {
    case thisHost
    /// Servers behind this gateway, by name.
    case servers(Set<String>)
    case anyServer

    /// - Parameter server: a server's name; `nil`: this host.
    public func covers(_ server: String?) -> Bool {
        switch (self, server) {
        case (.thisHost, nil), (.anyServer, .some): true
        case (.servers(let names), let server?): names.contains(server)
        case (.thisHost, .some), (.anyServer, nil), (.servers, nil): false
        }
    }

    /// Whether it covers everything that the other one covers.
    public func covers(allOf other: ServerScope) -> Bool {
        switch (self, other) {
        case (.thisHost, .thisHost), (.anyServer, .anyServer), (.anyServer, .servers): true
        case (.servers(let own), .servers(let others)): own.isSuperset(of: others)
        case (.thisHost, _), (.servers, _), (.anyServer, .thisHost): false
        }
    }
}

extension [Rule] {
    /// The rules that are about the server; `nil`: this host.
    public func about(_ server: String?) -> [Rule] { filter { $0.at.covers(server) } }
}
