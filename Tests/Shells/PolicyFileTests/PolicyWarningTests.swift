import Policy
import Testing

@testable import PolicyFile

/// Rules in short form, and their warnings, each identified by its first words.
private struct Warned: CustomTestStringConvertible {
    var rules: [String]
    var warnings: [String]

    init(_ rules: String..., warnings: [String]) {
        self.rules = rules
        self.warnings = warnings
    }

    var testDescription: String { rules.joined(separator: "; ") }
}

private let onLookup = "nfs without \"open: always\""
private let locks = "nfs without nlockmgr and status"
private let status = "nfs without status"
private let world = "\"open: always\" for the whole world"

private let halves = ["0.0.0.0/1", "128.0.0.0/1"].map { "from: \($0), to: mountd, open: always" }
private let always = ["10.0.0.0/9", "10.128.0.0/9"].map { "from: \($0), to: nfs, open: always" }
private let all = "from: 10.0.0.0/8, to: [nfs, mountd, nlockmgr, status]"

@Suite("Policy warnings")
struct PolicyWarningTests {
    @Test(
        "are given where mounts or locks would hang, or the world gets in",
        arguments: [
            Warned(all, warnings: [onLookup]),
            Warned("\(all), open: always", warnings: []),
            Warned("from: 10.0.0.1, to: nfs", warnings: [onLookup, locks]),
            Warned("from: 10.0.0.1, to: [nfs, mountd], open: always", warnings: [locks]),
            Warned("from: 10.0.0.1, to: [nfs, nlockmgr], open: always", warnings: [status]),
            // Another rule covers the same clients, or more.
            Warned(all, "from: 10.0.0.0/8, to: nfs, open: always", warnings: []),
            Warned("from: 10.0.0.1, to: nfs, open: always", "from: 10.0.0.0/8, to: [nlockmgr, status]", warnings: []),
            Warned("from: a.b, to: nfs, open: always", "from: a.b, to: [nlockmgr, status]", warnings: []),
            Warned(
                "from: 10.0.0.1, to: nfs, open: always", "from: 0.0.0.0/0, to: nlockmgr",
                "from: 10.0.0.0/24, to: status",
                warnings: []),
            // The other rule covers fewer clients, or other clients, or does not apply in the end.
            Warned(
                "from: 10.0.0.0/8, to: nfs, open: always", "from: 10.0.0.1, to: [nlockmgr, status]", warnings: [locks]),
            Warned("from: a.b, to: nfs, open: always", "from: c.d, to: [nlockmgr, status]", warnings: [locks]),
            Warned(
                "from: 10.0.0.1, to: nfs, open: always",
                "from: 10.0.0.0/8, except: 10.0.0.0/24, to: [nlockmgr, status]",
                warnings: [locks]),
            Warned(
                "from: 10.0.0.0/8, except: 10.0.0.0/24, to: nfs, open: always",
                "from: 10.0.0.0/8, except: 10.0.0.0/24, to: [nlockmgr, status]", warnings: []),
            Warned(
                "from: 10.0.0.1, to: nfs, over: tcp, open: always", "from: 10.0.0.1, to: mountd",
                "from: 10.0.0.1, to: [nlockmgr, status], over: udp", warnings: [locks]),
            Warned(
                "from: 10.0.0.1, to: nfs, open: always", "from: 10.0.0.1, to: [nlockmgr, status], open: never",
                warnings: [locks]),
            Warned(all, "from: 10.0.0.0/8, to: nfs, over: tcp, open: always", warnings: [onLookup]),
            // NFSv4 only: TCP, standing, and no mountd for these clients.
            Warned("from: 10.0.0.1, to: nfs, over: tcp, open: always", warnings: []),
            Warned("from: 10.0.0.1, to: nfs, over: tcp, open: always", "from: 10.0.0.2, to: mountd", warnings: []),
            Warned(
                "from: 10.0.0.1, to: nfs, over: tcp, open: always", "from: 10.0.0.0/8, to: mountd", warnings: [locks]),
            Warned(
                "from: 10.0.0.0/8, to: nfs, over: tcp, open: always", "from: 10.0.0.1, to: mountd", warnings: [locks]),
            Warned("from: 10.0.0.1, to: nfs, open: always", warnings: [locks]),
            // A lookup alone mounts nothing.
            Warned("from: 10.0.0.1, to: nfs, open: never", warnings: []),
            Warned("from: 0.0.0.0/0, to: mountd, open: always", warnings: [world]),
            Warned("from: [10.0.0.1, '::/0'], to: mountd, open: always", warnings: [world]),
            Warned("from: 0.0.0.0/0, to: mountd", warnings: []),
            Warned("from: 0.0.0.0/1, to: mountd, open: always", warnings: []),
            // Several prefixes together, of one rule or of many.
            Warned("from: [0.0.0.0/1, 128.0.0.0/1], to: mountd, open: always", warnings: [world]),
            Warned(halves[0], halves[1], warnings: [world]),
            Warned(halves[0], "from: '::/1', to: mountd, open: always", halves[1], warnings: [world]),
            Warned(
                halves[0], "from: 128.0.0.0/1, to: [mountd, status], over: udp, open: always",
                "from: 0.0.0.0/2, to: status, open: always", warnings: [world]),
            Warned(halves[0], "from: 128.0.0.0/1, to: 100005-100010, open: always", warnings: [world]),
            Warned(halves[0], "from: 128.0.0.0/1, to: status, open: always", warnings: []),
            Warned("\(halves[0]), over: tcp", "\(halves[1]), over: udp", warnings: []),
            Warned(halves[0], "from: 128.0.0.0/1, to: mountd", warnings: []),
            Warned("\(halves[0]), at: a", "\(halves[1]), at: [b, c]", warnings: []),
            Warned("\(halves[0]), at: [a, b]", "\(halves[1]), at: [b, c]", warnings: [world]),
            Warned("\(halves[0]), at: a", "\(halves[1]), at: any-server", warnings: [world]),
            Warned(all, always[0], always[1], warnings: []),
            Warned("\(all), except: 10.1.0.0/16", "\(always[0]), except: 10.1.0.0/16", always[1], warnings: []),
            Warned(all, "\(always[0]), except: 10.1.0.0/16", always[1], warnings: [onLookup]),
            Warned(all, "\(always[0]), except: a.b", always[1], warnings: [onLookup]),
            Warned(all, always[0], "\(always[1]), over: tcp", warnings: [onLookup]),
            Warned(all, always[0], "\(always[1]), over: tcp", "\(always[1]), over: udp", warnings: []),
            Warned(
                "from: 10.0.0.0/8, to: nfs, open: always", "from: 10.0.0.0/9, to: [nlockmgr, status]",
                "from: 10.128.0.0/9, to: [nlockmgr, status]", warnings: []),
        ])
    fileprivate func warning(_ warned: Warned) {
        let rules = warned.rules.enumerated().map { "- {name: r\($0), \($1)}\n" }.joined()
        let parsed = policy("rules:\n\(rules)")
        #expect(!parsed.diagnostics.hasErrors)
        let messages = parsed.diagnostics.map(\.message)
        #expect(messages.count == warned.warnings.count, "\(messages)")
        for (message, start) in zip(messages, warned.warnings) { #expect(message.hasPrefix(start)) }
    }

    @Test("each stands at its rule")
    func places() {
        let rules = policy("rules:\n- {name: a, from: 10.0.0.1, to: mountd}\n- {name: b, from: 10.0.0.1, to: nfs}")
            .rules
        #expect(PolicyWarning.warnings(of: rules).map(\.location.line) == [3, 3])
    }
}
