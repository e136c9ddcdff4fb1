/// The targets of Package.swift and their dependencies, parsed as text.
struct Manifest {
    struct Target: Equatable {
        var name: String
        var dependencies: Set<String>
        var isTest: Bool
        var path: String?
        /// The name of the function that declares the target.
        var floor: String?
    }

    private static let floors = ["ground": "Ground", "core": "Core", "shell": "Shells"]

    private(set) var targets: [String: Target] = [:]

    init(_ source: String) {
        let text = Self.withoutComments(source)
        // Matches `let nio: [Target.Dependency] = [ … ]`.
        var lists: [String: Set<String>] = [:]
        for match in text.matches(of: #/let\s+(\w+):\s*\[Target\.Dependency\]\s*=\s*\[/#) {
            lists[String(match.output.1)] = Self.names(in: Self.enclosed(text[match.range.lowerBound...], "[", "]"))
        }
        guard let begin = text.firstRange(of: "targets: [\n") else { return }
        let declarations = text[begin.lowerBound...]
        let declaration = #/(\bground|\bcore|\bshell|\bshim|\btests|\.target|\.executableTarget|\.testTarget)\(/#
        for match in declarations.matches(of: declaration) {
            let kind = match.output.1
            let call = Self.enclosed(declarations[match.range.lowerBound...], "(", ")")
            guard let name = call.firstMatch(of: #/"([^"]+)"/#) else { continue }
            let target = Target(
                name: String(name.output.1), dependencies: Self.dependencies(call[name.range.upperBound...], lists),
                isTest: kind == "tests" || kind == ".testTarget",
                path: call.firstMatch(of: #/path:\s*"([^"]+)"/#).map { String($0.output.1) },
                floor: Self.floors[String(kind)])
            targets[target.name] = target
        }
    }

    /// The target's dependencies, and theirs.
    func closure(of name: String) -> Set<String> {
        var found: Set<String> = []
        var next = targets[name]?.dependencies ?? []
        while let one = next.popFirst() {
            guard found.insert(one).inserted else { continue }
            next.formUnion(targets[one]?.dependencies ?? [])
        }
        return found
    }

    private static func withoutComments(_ source: String) -> String {
        source.split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in line.firstRange(of: "//").map { isURL(line, $0) ? line : line[..<$0.lowerBound] } ?? line }
            .joined(separator: "\n")
    }

    private static func isURL(_ line: Substring, _ slashes: Range<Substring.Index>) -> Bool {
        line[..<slashes.lowerBound].hasSuffix(":")
    }

    /// The first list behind the name, unless it belongs to another argument, and the lists added to it.
    private static func dependencies(_ arguments: Substring, _ lists: [String: Set<String>]) -> Set<String> {
        // A list: `, [ … ]` or `dependencies: [ … ]`, then perhaps `+ nio`; or a named list alone.
        guard let start = arguments.firstMatch(of: #/^\s*,\s*(?:dependencies:\s*)?(?=[\[\w])(?!\w+:)/#) else {
            return []
        }
        var rest = arguments[start.range.upperBound...]
        var found: Set<String> = []
        while true {
            if rest.first == "[" {
                let list = enclosed(rest, "[", "]")
                found.formUnion(names(in: list))
                rest = rest[list.endIndex...].dropFirst()
            } else {
                let name = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
                found.formUnion(lists[String(name)] ?? [])
                rest = rest.dropFirst(name.count)
            }
            guard let plus = rest.firstMatch(of: #/^\s*\+\s*/#) else { return found }
            rest = rest[plus.range.upperBound...]
        }
    }

    /// The names in `"ONCRPC"` and `.product(name: "NIOCore", package: …)`.
    private static func names(in list: Substring) -> Set<String> {
        let products = list.matches(of: #/name:\s*"([^"]+)"/#).map { String($0.output.1) }
        let plain = list.replacing(#/\.\w+\([^)]*\)/#, with: "").matches(of: #/"([^"]+)"/#).map { String($0.output.1) }
        return Set(products + plain)
    }

    /// The text between the first `open` and its matching `close`.
    private static func enclosed(_ text: Substring, _ open: Character, _ close: Character) -> Substring {
        guard let first = assignment(text, open) else { return text[text.endIndex...] }
        var depth = 0
        for index in text[first...].indices {
            if text[index] == open { depth += 1 }
            if text[index] == close { depth -= 1 }
            if depth == 0 { return text[text.index(after: first)..<index] }
        }
        return text[text.index(after: first)...]
    }

    /// The place of the first `open`; in `let x: [T] = [ … ]`, of the one behind the equals sign.
    private static func assignment(_ text: Substring, _ open: Character) -> Substring.Index? {
        guard text.hasPrefix("let "), let equals = text.firstIndex(of: "=") else { return text.firstIndex(of: open) }
        return text[equals...].firstIndex(of: open)
    }

    /// The disagreements between the target's dependencies and the imports of its sources.
    ///
    /// `imports` may contain modules of the toolchain: only modules in the manifest are checked.
    func disagreements(target name: String, imports: Set<String>) -> [String] {
        guard let target = targets[name] else { return ["\(name) is not in Package.swift"] }
        let known = Set(targets.keys).union(targets.values.flatMap(\.dependencies))
        let missing = imports.intersection(known).subtracting(target.dependencies).subtracting([name])
        let unused = target.isTest ? [] : target.dependencies.subtracting(imports)
        return missing.sorted().map { "\(name) imports \($0), which its dependencies lack" }
            + unused.sorted().map { "\(name) depends on \($0), which it never imports" }
    }
}
