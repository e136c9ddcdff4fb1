import Configuration
import Policy

/// The meaning of a term of `at:` or of a group of servers.
enum ServerTerm: Hashable {
    case server(String)
    case any

    static let anyServer = "any-server"
}

extension Syntax where Value == ServerTerm {
    /// A server's name, or `any-server`: a server term that is no group name.
    /// - Parameter servers: the names of the configuration; `nil`: there is none to compare with.
    static func server(_ servers: [String]?, groups: [String]) -> Self {
        Self { text throws(Mistake) in
            if text == ServerTerm.anyServer { return .any }
            let name = try Syntax<String>.serverName.parse(text)
            guard let servers, !servers.contains(name) else { return .server(name) }
            throw Mistake("unknown server \(quoted(name))") {
                Suggestion.forServer(name, servers, others: groups + [ServerTerm.anyServer])
            }
        }
    }
}

extension ServerScope {
    /// An empty group names no server, as an empty group of clients names no client.
    init(_ terms: [ServerTerm]) {
        if terms.contains(.any) {
            self = .anyServer
            return
        }
        let names = terms.compactMap { term in
            switch term {
            case .server(let name): name
            case .any: nil
            }
        }
        self = .servers(Set(names))
    }
}

extension Settings {
    /// The reason why no server of that name is known; `nil`: it is one of `gateway.servers`.
    public func refusal(ofServer name: String) -> String? {
        let names = gateway?.servers.map(\.name) ?? []
        guard !names.contains(name) else { return nil }
        return "unknown server: \(quoted(name)); \(Suggestion.forServer(name, names))"
    }
}

extension Settings {
    /// The reason why a draft's `at` can't be this term; `nil`: it can. Without servers in the configuration, any
    /// server's name will do: a policy may be drafted before the configuration is written.
    public func refusal(ofServerTerm term: String) -> String? {
        if let servers = gateway?.servers, !servers.isEmpty, term != ServerTerm.anyServer {
            return refusal(ofServer: term)
        }
        do throws(Mistake) {
            _ = try Syntax<ServerTerm>.server(nil, groups: []).parse(term)
            return nil
        } catch {
            return "\(error.message)" + (error.hint.map { "; \($0)" } ?? "")
        }
    }
}

extension Suggestion {
    /// - Parameter others: words that may stand for a server.
    fileprivate static func forServer(_ name: String, _ servers: [String], others: [String] = []) -> String {
        if let word = forWord(name, among: servers + others) { return word }
        return servers.isEmpty
            ? "the configuration has no gateway.servers" : "known servers: \(servers.joined(separator: ", "))"
    }
}
