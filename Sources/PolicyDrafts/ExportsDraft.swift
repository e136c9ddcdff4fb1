import Policy
import Portmapper

/// exports(5) → a policy that lets the same clients in, and nobody else.
public struct ExportsDraft: Sendable {
    /// A file, and what it is called.
    public struct Source: Sendable {
        public var name: String
        public var file: ExportsFile

        public init(name: String, file: ExportsFile) {
            self.name = name
            self.file = file
        }
    }

    public private(set) var policy = DraftPolicy()
    /// `file:line: what is not in the policy, and why`, for people.
    public var warnings: [String] { places.sorted { ($0.file, $0.line) < ($1.file, $1.line) }.map(\.text) }

    private static let group = "nfs-clients"
    /// Of the exports that brought a client in; more are counted.
    private static let reasonsMax = 2

    private var places: [(file: Int, line: Int, text: String)] = []
    private var fileIndex = 0
    private var order: [ClientTerm] = []
    private var reasons: [ClientTerm: [String]] = [:]

    public init(_ sources: [Source]) {
        for (index, source) in sources.enumerated() {
            fileIndex = index
            for entry in source.file.entries { add(entry, in: source.name) }
            for problem in source.file.problems { warn(source.name, problem.line, problem.message) }
        }
        policy.comments = Self.heading(sources.map(\.name)) + omissions
        guard !order.isEmpty else { return }
        policy.addGroup(Self.group, order.map { DraftPolicy.Member($0, comment: comment(of: $0)) })
        policy.rules = [Self.nfsRule, Self.helpersRule]
    }

    private mutating func add(_ entry: ExportsFile.Entry, in file: String) {
        let place = "\(ShownText(file.utf8)):\(entry.line) \(entry.path)"
        switch entry.client {
        case .network(let prefix):
            if prefix.length == 0 {
                warn(file, entry.line, "\(entry.path) is exported to the whole world (\(prefix)), and so are the ports")
            }
            permit(.prefix(prefix), place)
        case .host(let name): permit(.host(name), place)
        case .everyone(.written):
            warn(file, entry.line, "\(entry.path) is exported to the whole world (*), and so are the ports")
            for world in [Prefix(.v4(0), length: 0), Prefix(.v6(0), length: 0)].compactMap({ $0 }) {
                permit(.prefix(world), place)
            }
        case .everyone(.implied):
            warn(
                file, entry.line,
                "\(entry.path) is exported to the whole world, since a client's name is missing (a space before \"(\"?);"
                    + " not in the policy: write * if everyone is meant")
        case .thisHost: break
        case .inexpressible(let why):
            warn(file, entry.line, "\(entry.path) to \(entry.written.quoted): not in the policy: \(why)")
        }
    }

    private mutating func permit(_ term: ClientTerm, _ reason: String) {
        if reasons[term] == nil { order.append(term) }
        reasons[term, default: []].append(reason)
    }

    private mutating func warn(_ file: String, _ line: Int, _ message: String) {
        places.append((fileIndex, line, "\(ShownText(file.utf8)):\(line): \(message)"))
    }

    private func comment(of term: ClientTerm) -> String {
        let all = reasons[term] ?? []
        let more = all.count - Self.reasonsMax
        return all.prefix(Self.reasonsMax).joined(separator: ", ") + (more > 0 ? ", and \(more) more" : "")
    }

    private var omissions: [String] {
        warnings.isEmpty ? [] : ["", "Look at these first:"] + warnings.map { "  \($0)" }
    }
}

extension ExportsDraft {
    private static func heading(_ files: [String]) -> [String] {
        [
            "Drafted by `rpcwarden import-exports` from \(files.map { "\(ShownText($0.utf8))" }.joined(separator: ", ")).",
            "exports(5) says who may mount what; a policy says who may reach which RPC program. A path, and whether it",
            "is read-only, is still for the NFS server to decide.",
        ]
    }

    private static var nfsRule: DraftPolicy.Rule {
        DraftPolicy.Rule(
            name: "exported to: nfs",
            comments: [
                "nfs: the NFS server itself (nfs-server.service, port 2049). An NFSv3 client asks for it once, at the",
                "mount, and never again: with anything but `open: always` its mount hangs when the grant has expired.",
                "An NFSv4 client never asks at all, and needs nothing but this rule. If all your clients use NFSv4, take",
                "the second rule out and write `over: [tcp]` here.",
            ], from: [group], to: [.nfs], open: .always)
    }

    private static var helpersRule: DraftPolicy.Rule {
        DraftPolicy.Rule(
            name: "exported to: mount and lock",
            comments: [
                "mountd: asked at every NFSv3 mount and unmount (rpc.mountd).",
                "nlockmgr: asked at a client's first lock (lockd, in the kernel): without it the mount works and that",
                "lock hangs. status: tells clients and server of each other's restart, so that locks are reclaimed",
                "(rpc.statd). Each is asked for anew, so these ports open on lookup only.",
                "Add rquotad to the list if clients run quota(1).",
            ], from: [group], to: [.mountd, .nlockmgr, .status], open: .onLookup)
    }
}
