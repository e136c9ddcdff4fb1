import Foundation

/// The arguments of `scripts/bench`.
struct Arguments {
    static var usage: String {
        """
        usage: scripts/bench [OPTION…] [SUITE…]
        Measures rpcwarden beside rpcbind and a C echo, and prints a table; all suites, unless some are named:
          \(allSuites.map(\.name).joined(separator: " "))
          --binary PATH    this rpcwarden, instead of one built for release in .build-release
          --rounds N       each figure is the median of so many (default 7)
          --seconds S      how long one load lasts (default 0.5)
          --ordinary       without the real-time priority that root's runs get: only for a machine that is otherwise idle
          --json PATH      where figures go; those of suites that did not run stay (default .build-bench/figures.json)
          --compare        ends with an error if a figure of this run misses its bound in Benchmarks/thresholds.json
          --write-docs     puts the tables and plots of that file into docs/PERFORMANCE.md, and measures only suites named
        """
    }

    var suites: [String] = []
    var options: [String: String] = [:]

    init(_ words: ArraySlice<String>) throws {
        var words = words
        while let word = words.popFirst() {
            switch word {
            case "--ordinary", "--compare", "--write-docs", "--help": options[word] = "yes"
            case "--binary", "--rounds", "--seconds", "--json", "--root", "--lab":
                guard let value = words.popFirst() else { throw Misuse("\(word) wants a value") }
                options[word] = value
            default:
                guard allSuites.contains(where: { $0.name == word }) else { throw Misuse("no suite \(word)") }
                suites.append(word)
            }
        }
    }

    func number<Number: LosslessStringConvertible>(_ option: String, _ otherwise: Number) throws -> Number {
        guard let text = options[option] else { return otherwise }
        guard let number = Number(text) else { throw Misuse("\(option) \(text) is no number") }
        return number
    }
}

struct Misuse: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
