import Addresses
import Policy

/// The smallest policy that would have permitted the calls in the log.
struct LearnedRules {
    private struct Grouping: Hashable {
        var lists: Bool
        var open: Opening
        var over: Set<Transport>
        var prefixes: [Prefix]
    }

    private typealias Asked = [ServiceKey: [IPAddress: Evidence]]

    private let lessons: ObservedCalls
    /// `nil`: this host.
    private let server: String?
    private let aggregation: Aggregation
    private let names: ProgramNames
    private var programs: [Grouping: [Program]] = [:]
    private var evidence: [Grouping: [IPAddress: Evidence]] = [:]
    private(set) var unexplainedProbes = 0
    /// Clients that called over TCP: they answered a handshake, so their addresses are not forged.
    private let proven: Set<IPAddress>

    init(_ lessons: ObservedCalls, at server: String?, _ aggregation: Aggregation, names: ProgramNames) {
        self.lessons = lessons
        self.server = server
        self.aggregation = aggregation
        self.names = names
        let tables = Array(lessons.lookups.values) + [lessons.listings, lessons.greetings]
        proven = Set(tables.joined().lazy.filter { $0.value.cameOverTCP }.map(\.key))
        let own = lessons.ownAddresses
        let isAsker = { (entry: (key: IPAddress, value: Evidence)) in !own.contains(entry.key) }
        let asked = Self.asked(lessons, &unexplainedProbes).mapValues { $0.filter(isAsker) }
        let listers = lessons.listings.filter(isAsker)
        for lists in [true, false] {
            let part = asked.mapValues { $0.filter { (listers[$0.key] != nil) == lists } }
            group(part.filter { !$0.value.isEmpty }, lists: lists)
        }
        // A client that only listed, or only greeted, must be named by some rule; that permits nothing else.
        let listing = named(byListing: true)
        nameOnly(listers.filter { !listing.lists($0.key) }, lists: true)
        let all = named(byListing: false)
        nameOnly(lessons.greetings.filter { isAsker($0) && !all.lists($0.key) }, lists: false)
    }

    /// NFSv4 clients never look a port up: they are known by their packets to port 2049.
    private static func asked(_ lessons: ObservedCalls, _ unexplained: inout Int) -> Asked {
        var asked = lessons.lookups
        for (key, probes) in lessons.probes {
            for (client, probe) in probes where asked[key]?[client] == nil {
                if key == ServiceKey(.nfs, .tcp) {
                    asked[key, default: [:]][client] = probe
                } else {
                    unexplained += probe.probes
                }
            }
        }
        return asked
    }

    /// Services with the same clients share a rule.
    private mutating func group(_ asked: Asked, lists: Bool) {
        for program in Set(asked.keys.map(\.program)).sorted() {
            let byTransport = Transport.allCases.compactMap { transport in
                asked[ServiceKey(program, transport)].map {
                    (transport, prefixes: aggregation.prefixes(holding: $0.keys), clients: $0)
                }
            }
            let over = Dictionary(grouping: byTransport, by: \.prefixes)
            for (prefixes, parts) in over {
                let grouping = Grouping(
                    lists: lists, open: program == .nfs ? .always : .onLookup, over: Set(parts.map(\.0)),
                    prefixes: prefixes)
                programs[grouping, default: []].append(program)
                for part in parts { gather(part.clients, into: grouping) }
            }
        }
    }

    private mutating func nameOnly(_ clients: [IPAddress: Evidence], lists: Bool) {
        guard !clients.isEmpty else { return }
        let grouping = Grouping(
            lists: lists, open: .never, over: Set(Transport.allCases),
            prefixes: aggregation.prefixes(holding: clients.keys))
        programs[grouping, default: []].append(.portmapper)
        gather(clients, into: grouping)
    }

    private mutating func gather(_ clients: [IPAddress: Evidence], into grouping: Grouping) {
        evidence[grouping, default: [:]].merge(clients) { sum, more in
            var sum = sum
            sum += more
            return sum
        }
    }

    /// The clients that the rules so far name, or, with `byListing`, only the ones that rules with listings name.
    private func named(byListing: Bool) -> Policy {
        let terms = programs.keys.filter { $0.lists || !byListing }.flatMap(\.prefixes).map(ClientTerm.prefix)
        let place = Location(file: "", line: 1, column: 1)
        return Policy(rules: [Rule(name: "", location: place, from: terms, to: [])])
    }

    /// nfs first, then rules that open on lookup, then rules that only name clients; in the order of programs.
    var rules: [DraftPolicy.Rule] {
        let ordered = programs.sorted { left, right in
            if left.key.open != right.key.open { return left.key.open > right.key.open }
            if left.value != right.value { return left.value.lexicographicallyPrecedes(right.value) }
            if left.key.prefixes != right.key.prefixes {
                return left.key.prefixes.lexicographicallyPrecedes(right.key.prefixes)
            }
            if left.key.over != right.key.over { return left.key.over.contains(.tcp) && left.key.over.count == 2 }
            return left.key.lists && !right.key.lists
        }
        return ordered.enumerated().map { index, entry in
            DraftPolicy.Rule(
                name: name(index + 1, entry.value), comments: comments(on: entry.key, entry.value),
                from: entry.key.prefixes.map(DraftPolicy.written), to: entry.value, at: server.map { [$0] } ?? [],
                over: entry.key.over, lists: entry.key.lists, open: entry.key.open)
        }
    }

    private func name(_ number: Int, _ programs: [Program]) -> String {
        let shown = programs.prefix(3).map { DraftPolicy.written($0, names) }.joined(separator: ", ")
        let more = programs.count - 3
        let place = server.map { " at \($0)" } ?? ""
        return String("learned \(number)\(place): \(shown)\(more > 0 ? " and \(more) more" : "")".prefix(100))
    }
}

extension LearnedRules {
    private static let clientsShownMax = 8

    private func comments(on rule: Grouping, _ programs: [Program]) -> [String] {
        let clients = evidence[rule] ?? [:]
        guard var sum = clients.values.first else { return [] }
        for other in clients.values.dropFirst() { sum += other }
        var lines = [
            "Learned from \(counted(sum.calls + sum.probes, sum.probes > 0 ? "call or packet" : "call")) of"
                + " \(counted(clients.count, "client")), \(sum.first) to \(sum.last);"
                + " enforce would have denied \(sum.denied + sum.probes)."
        ]
        let add = { (text: String, chosen: [IPAddress]) in
            if !chosen.isEmpty { lines.append("\(text): \(Self.shown(chosen))") }
        }
        if rule.prefixes.count < clients.count { add("Aggregated", Array(clients.keys)) }
        add("Suspected of enumeration, review them", clients.keys.filter(lessons.suspects.contains))
        add(
            "Seen only over UDP, where addresses can be forged",
            clients.filter { $0.value.calls > 0 && !proven.contains($0.key) }.map(\.key))
        add(
            "Seen only by packets to nfs, as NFSv4 clients send them", clients.filter { $0.value.calls == 0 }.map(\.key)
        )
        if programs.contains(.nfs) {
            add("No lock seen; for locks they need nlockmgr and status", lockless(clients))
        }
        if programs.contains(where: Program.transient.contains) {
            lines.append(
                "Program numbers 0x40000000-0x5fffffff are transient, and change at each run: write the range to permit all"
            )
        }
        if programs == [.portmapper] {
            lines.append("They called only the portmapper itself" + (rule.lists ? ", also for its list." : "."))
        }
        return lines
    }

    /// NFSv3 clients that never looked up the programs that locks need.
    private func lockless(_ clients: [IPAddress: Evidence]) -> [IPAddress] {
        let asked = { (program: Program, client: IPAddress) in
            Transport.allCases.contains { lessons.lookups[ServiceKey(program, $0)]?[client] != nil }
        }
        return clients.keys.filter { client in
            asked(.mountd, client) && !(asked(.nlockmgr, client) && asked(.status, client))
        }
    }

    private static func shown(_ clients: [IPAddress]) -> String {
        let more = clients.count - clientsShownMax
        return clients.sorted().prefix(clientsShownMax).map(\.description).joined(separator: ", ")
            + (more > 0 ? " and \(more) more" : "")
    }
}
