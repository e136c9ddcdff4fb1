import Bundles
import Configuration
import Policy
import Signatures

/// A fleet's bundle whose signature, group and serial are right, or the one problem that it has.
struct ParsedBundle {
    /// The files in it, with names as rules' labels show them: `nfs.bundle:policy.yaml`.
    var files: [SourceFile]
    var accepted: AcceptedBundle
    var key: PublicKey

    /// Nothing of the container is looked into before its signature is verified.
    /// - Parameters:
    ///   - node: the only fleet and group whose bundles are taken; `nil`: any.
    ///   - last: the bundle that was accepted before this one; `nil`: none is known.
    init(_ source: SourceFile, keys: [PublicKey], of node: Settings.Fleet.Bundle?, after last: AcceptedBundle?)
        throws(Problem)
    {
        let signed: SignedBundle
        do throws(SignedBundle.Fault) {
            signed = try SignedBundle(source.bytes)
        } catch {
            throw Problem(source, "not a bundle: \(error)")
        }
        let signature = Signature(
            text: signed.signature, trustedComment: signed.trustedComment, commentSignature: signed.commentSignature)
        do throws(Signature.Fault) {
            key = try signature.verify(signed.container, by: keys)
        } catch {
            throw Problem(source, "\(error)")
        }
        let bundle: PolicyBundle
        do throws(PolicyBundle.Fault) {
            bundle = try PolicyBundle(container: signed.container)
        } catch {
            throw Problem(source, error.what, line: error.line + SignedBundle.signatureLines)
        }
        if let node, bundle.group != node.group {
            throw Problem(source, "it is for group \(quoted(bundle.group)), and this node is of \(quoted(node.group))")
        }
        if let fleet = node?.fleet, bundle.fleet != fleet {
            throw Problem(source, "it is of fleet \(quoted(bundle.fleet)), and this node is of \(quoted(fleet))")
        }
        accepted = AcceptedBundle(bundle, digest: Signature.digest(of: signed.container))
        if let refusal = last?.refusal(of: accepted, inFleet: node?.fleet) {
            let isOther = last?.fleet != accepted.fleet
            let hint = isOther ? "name this node's fleet in fleet.policy.fleet" : "sign it with a higher serial"
            throw Problem(source, refusal, hint: hint)
        }
        files = bundle.files.map { file in
            SourceFile(name: "\(source.name):\(file.name)", path: "\(source.path):\(file.name)", bytes: file.bytes)
        }
    }

    struct Problem: Error {
        var location: Location
        var message: String
        var hint: String?

        init(_ source: SourceFile, _ message: String, line: Int = 1, hint: String? = nil) {
            location = Location(file: source.path, line: line, column: 1)
            self.message = message
            self.hint = hint
        }
    }
}

/// The limit of a bundle's rules.
struct BundleLimit {
    /// `nil`: this host has no ceiling.
    private var ceiling: PolicyCeiling?
    private let names: ProgramNames
    /// Where a rule of the ceiling is: its location has the file's name alone.
    private let path: String

    init(names: ProgramNames) {
        self.names = names
        path = ""
    }

    init(_ source: SourceFile, _ rules: [Rule], names: ProgramNames, _ findings: inout Findings) {
        for rule in rules {
            for case .host(let name) in rule.except {
                var place = rule.location
                place.file = source.path
                findings.error(
                    "a ceiling can't except clients by host name: \(quoted(name)) in rule \(quoted(rule.name))",
                    at: place, hint: "write its address")
            }
        }
        ceiling = PolicyCeiling(rules)
        self.names = names
        path = source.path
    }

    /// Reports the rules that exceed the limit.
    /// - Parameter paths: of the bundle's files, by their names.
    mutating func examine(_ rules: [Rule], _ paths: [String: String], _ findings: inout Findings) {
        for rule in rules {
            guard let (message, hint) = flaw(of: rule) ?? excess(of: rule) else { continue }
            var place = rule.location
            place.file = paths[place.file] ?? place.file
            findings.error("rule \(quoted(rule.name)) \(message)", at: place, hint: hint)
        }
    }

    /// A rule without a program would name clients all the same, whatever the ceiling is.
    private func flaw(of rule: Rule) -> (message: String, hint: String)? {
        guard rule.to.isEmpty, rule.programRanges.isEmpty else { return nil }
        return ("names no program", "leave the rule out, or name a program")
    }

    private mutating func excess(of rule: Rule) -> (message: String, hint: String)? {
        guard ceiling != nil else {
            return PolicyCeiling.tooShortPrefix(in: rule).map { prefix in
                (
                    "names \(prefix), and without a ceiling no prefix may be shorter than /\(PolicyCeiling.lengthMinIPv4),"
                        + " or /\(PolicyCeiling.lengthMinIPv6) in IPv6",
                    "permit it in a file of this host, and name that in fleet.policy.ceiling"
                )
            }
        }
        guard let excess = ceiling?.excess(of: rule) else { return nil }
        let program = names.name(of: excess.program) ?? "\(excess.program)"
        let opening = excess.lists ? "open: \(excess.open.rawValue) and list: true" : "open: \(excess.open.rawValue)"
        let server = excess.server.map { " at \($0)" } ?? ""
        let hint: String
        if let nearest = excess.nearest {
            let (line, column) = (nearest.location.line, nearest.location.column)
            hint = "the nearest rule there, \(path):\(line):\(column) \(quoted(nearest.name)), \(excess.lacks)"
        } else {
            hint = "\(path) has no rules"
        }
        return (
            "exceeds the ceiling: \(excess.client.text), \(program) over \(excess.transport)\(server), \(opening)", hint
        )
    }
}

extension ClientTerm {
    fileprivate var text: String {
        switch self {
        case .prefix(let prefix): "\(prefix)"
        case .host(let name): name
        }
    }
}
