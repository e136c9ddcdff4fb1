import Addresses
import Policy

/// Turns exports(5) into a policy that lets exactly the same clients in.
public struct ExportsDraft: Sendable {
    /// A file and its name.
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
    public var warnings: [String] { remarks.filter { !$0.isError }.map(\.text) }
    /// `file:line:column: error: what can't be read`; the policy lacks the contents of these lines.
    public var errors: [String] { remarks.filter(\.isError).map(\.text) }
    /// False if a file can't be read to its end: then the policy is no draft of it.
    public let isWhole: Bool

    private struct Remark {
        var file: Int
        var line: Int
        var isError: Bool
        var text: String
    }

    /// Clients in the order in which the exports name them, with their reasons.
    private struct Clients {
        /// The number of exports that are shown as a client's reasons; further ones are only counted.
        static let reasonsMax = 2

        private(set) var terms: [ClientTerm] = []
        private var reasons: [ClientTerm: [String]] = [:]

        mutating func add(_ term: ClientTerm, _ reason: String) {
            if reasons[term] == nil { terms.append(term) }
            reasons[term, default: []].append(reason)
        }

        var members: [DraftPolicy.Member] { terms.map { DraftPolicy.Member($0, comment: comment(of: $0)) } }

        private func comment(of term: ClientTerm) -> String {
            let all = reasons[term] ?? []
            let more = all.count - Self.reasonsMax
            return all.prefix(Self.reasonsMax).joined(separator: ", ") + (more > 0 ? ", and \(more) more" : "")
        }
    }

    private static let group = "nfs-clients"
    /// Kept apart from the others: a person who changes the clients' permissions means the clients that the
    /// exports name.
    private static let worldGroup = "everyone"

    private let server: String?
    private var remarks: [Remark] = []
    private var fileIndex = 0
    private var clients = Clients()
    private var world = Clients()

    /// - Parameter server: the server behind this gateway whose exports these are; `nil`: this host's.
    public init(_ sources: [Source], at server: String? = nil) {
        self.server = server
        isWhole = sources.allSatisfy(\.file.isWhole)
        for (index, source) in sources.enumerated() {
            fileIndex = index
            for entry in source.file.entries { add(entry, in: source.name) }
            for problem in source.file.problems { add(problem, in: source.name) }
        }
        remarks.sort { ($0.file, $0.line) < ($1.file, $1.line) }
        policy.comments = Self.heading(sources.map(\.name), server) + omissions
        addRules([Self.nfsRule, Self.helpersRule], for: clients, called: Self.group)
        addRules([Self.worldNFSRule, Self.worldHelpersRule], for: world, called: Self.worldGroup)
    }

    private mutating func addRules(_ rules: [DraftPolicy.Rule], for clients: Clients, called name: String) {
        guard !clients.terms.isEmpty else { return }
        // A policy may define a group only once, and drafts of several servers make one policy.
        let group = server.map { "\(name)-of-\($0)" } ?? name
        policy.addGroup(group, clients.members)
        for var rule in rules {
            rule.from = [group]
            if let server {
                rule.name += " at \(server)"
                rule.at = [server]
            }
            policy.rules.append(rule)
        }
    }

    private mutating func add(_ entry: ExportsFile.Entry, in file: String) {
        let place = "\(ShownText.file(file)):\(entry.line) \(entry.path)"
        if let note = entry.note { warn(file, entry.line, "\(entry.path) to \(entry.written.quoted): \(note)") }
        switch entry.client {
        case .network(let prefix) where prefix.length == 0:
            warn(
                file, entry.line,
                "\(entry.path) is exported to the whole world (\(prefix)): its ports are open to every address")
            world.add(.prefix(prefix), place)
        case .network(let prefix): clients.add(.prefix(prefix), place)
        case .host(let name): clients.add(.host(name), place)
        case .everyone(.written):
            warn(
                file, entry.line,
                "\(entry.path) is exported to the whole world (*): its ports are open to every address")
            for prefix in [Prefix(.v4(0), length: 0), Prefix(.v6(0), length: 0)].compactMap({ $0 }) {
                world.add(.prefix(prefix), place)
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

    private mutating func add(_ problem: ExportsFile.Problem, in file: String) {
        switch problem.severity {
        case .warning: warn(file, problem.line, problem.message)
        case .error:
            let place = "\(ShownText.file(file)):\(problem.line):\(problem.column)"
            remarks.append(
                Remark(file: fileIndex, line: problem.line, isError: true, text: "\(place): error: \(problem.message)"))
        }
    }

    private mutating func warn(_ file: String, _ line: Int, _ message: String) {
        let text = "\(ShownText.file(file)):\(line): \(message)"
        remarks.append(Remark(file: fileIndex, line: line, isError: false, text: text))
    }

    private var omissions: [String] {
        remarks.isEmpty ? [] : ["", "Review these first:"] + remarks.map { "  \($0.text)" }
    }
}

extension ExportsDraft {
    private static func heading(_ files: [String], _ server: String?) -> [String] {
        let place = server.map { ", the exports of server \($0)" } ?? ""
        return [
            "Drafted by `rpcwarden import-exports` from \(files.map { "\(ShownText.file($0))" }.joined(separator: ", "))\(place).",
            "exports(5) lists the clients of each path; a policy lists the clients of each RPC program. The NFS server still",
            "decides about paths and their options, such as read-only.",
        ]
    }

    private static var nfsRule: DraftPolicy.Rule {
        DraftPolicy.Rule(
            name: "exported to: nfs",
            comments: [
                "nfs: the NFS server itself (nfs-server.service, port 2049). An NFSv3 client looks it up only once, at the",
                "mount: without `open: always` the mount hangs when the grant has expired. An NFSv4 client never looks it",
                "up, and needs only this rule. If all your clients use NFSv4, remove the second rule and write",
                "`over: [tcp]` here.",
            ], to: [.nfs],
            hints: [
                "Hypervisors (XenServer, XCP-ng, Proxmox VE) run `rpcinfo -s` or `-p` and `showmount -e` before each mount,",
                "and fail if nfs is not listed. If yours do, remove the # here and in the next rule:",
                "list: true",
            ], open: .always)
    }

    private static var helpersRule: DraftPolicy.Rule {
        DraftPolicy.Rule(
            name: "exported to: mount and lock",
            comments: [
                "mountd: looked up at every NFSv3 mount and unmount (rpc.mountd).",
                "nlockmgr: looked up at a client's first lock (lockd, in the kernel): without it the mount works, but the",
                "lock hangs. status: notifies clients and server of each other's restart, so that locks are reclaimed",
                "(rpc.statd). Clients look these up again for each use, so the ports open only on look-up.",
                "Add rquotad to the list if clients run quota(1).",
            ], to: [.mountd, .nlockmgr, .status], hints: ["list: true"], open: .onLookup)
    }

    private static var worldNFSRule: DraftPolicy.Rule {
        DraftPolicy.Rule(
            name: "exported to everyone: nfs",
            comments: [
                "These ports are open to every host that can reach this one, since a path is exported to everyone. To",
                "restrict them, name the clients in /etc/exports, and remove these two rules.",
            ], to: [.nfs], open: .always)
    }

    private static var worldHelpersRule: DraftPolicy.Rule {
        DraftPolicy.Rule(
            name: "exported to everyone: mount and lock", to: [.mountd, .nlockmgr, .status],
            open: .onLookup)
    }
}
