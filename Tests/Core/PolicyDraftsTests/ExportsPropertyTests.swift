import Addresses
import Policy
import PolicyDrafts
import TestSupport
import Testing

/// A reader of exports(5) that follows support/nfs/xio.c and exports.c of nfs-utils character by character, quirks
/// included.
private struct NFSUtils {
    private let bytes: [UInt8]
    private var position = 0
    /// Pairs of path and client, without options.
    private(set) var exported: Set<[String]> = []

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        while position < bytes.count {
            // Here nfs-utils stops reading the whole file; rpcwarden may continue.
            guard let path = word(skipping: " \t\n") else {
                _ = character()
                continue
            }
            var hasClient = false
            while let client = word(skipping: " \t") {
                if client.first == UInt8(ascii: "-") { continue }
                hasClient = true
                let name = client.prefix { $0 != UInt8(ascii: "(") }
                exported.insert([ShownText(path).description, ShownText(name).description])
            }
            if !hasClient { exported.insert([ShownText(path).description, ""]) }
        }
    }

    private mutating func character() -> UInt8? {
        guard position < bytes.count else { return nil }
        position += 1
        let byte = bytes[position - 1]
        guard byte == UInt8(ascii: "\\"), position < bytes.count, bytes[position] == UInt8(ascii: "\n") else {
            return byte
        }
        position += 1
        while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
        guard position < bytes.count else { return nil }
        position += 1
        return bytes[position - 1]
    }

    /// The next character, without consuming it.
    private func peek() -> UInt8? {
        var copy = self
        return copy.character()
    }

    /// `nil` at the end of a line; the newline is not consumed unless it is among the characters to skip.
    private mutating func word(skipping blanks: String) -> [UInt8]? {
        let blanks = Array(blanks.utf8)
        while let next = peek() {
            if next == UInt8(ascii: "#") {
                while let other = peek(), other != 0x0a { _ = character() }
                guard let newline = peek(), blanks.contains(newline) else { break }
            } else if !blanks.contains(next) {
                break
            }
            _ = character()
        }
        var text: [UInt8] = []
        var isQuoted = false
        while let next = peek(), isQuoted || !(next == 0x20 || (0x09...0x0d).contains(next)) {
            _ = character()
            if next == UInt8(ascii: "\"") {
                isQuoted.toggle()
                continue
            }
            text.append(next)
            let octal = text.suffix(3).map { Int($0) - 0x30 }
            if text.count >= 4, text[text.count - 4] == UInt8(ascii: "\\"), octal.allSatisfy((0...7).contains) {
                text.removeLast(4)
                text.append(UInt8(truncatingIfNeeded: octal[0] * 64 + octal[1] * 8 + octal[2]))
            }
        }
        return text.isEmpty ? nil : text
    }
}

extension SeededGenerator {
    private static let words = [
        "/a", "/b", "\"/c d\"", "/e\\040f", "10.0.0.1", "10.1.0.0/16", "10.2.0.0/255.255.0.0", "2001:db8::/32",
        "h.example.com", "*", "*.example.com", "@ng", "(rw)", "(ro,sync)", "-rw", "#", "\\", "\"", "\n", "\n/g ",
        "\\\n",
        "\\\n  ", "\\012", "\\134", "\\060", "0.0.0.0/0", "::/0", " ", "\t", "\r\n", "\r", "\u{b}", ",", "(", ")",
    ]

    fileprivate mutating func exports() -> String {
        var text = ""
        for _ in 0..<Int.random(in: 1...24, using: &self) {
            text += Self.words.randomElement(using: &self) ?? ""
            if Int.random(in: 0..<3, using: &self) == 0 { text += " " }
        }
        return text
    }
}

@Suite("import-exports of hostile files") struct ExportsPropertyTests {
    @Test("nobody is read as a client whom nfs-utils would not read there", arguments: 0..<60 as Range<UInt64>)
    func neverWider(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<20 {
            let text = random.exports()
            let reference = NFSUtils(Array(text.utf8)).exported
            for entry in ExportsFile(Array(text.utf8)).entries {
                switch entry.client {
                case .network, .host, .everyone(.written):
                    #expect(
                        reference.contains([entry.path.description, entry.written.description]),
                        "\(text.debugDescription): \(entry)")
                case .everyone(.implied), .thisHost, .inexpressible: break
                }
            }
        }
    }

    @Test("the policy can be read and names its entries' networks, and no others", arguments: 0..<60 as Range<UInt64>)
    func namesItsEntries(seed: UInt64) {
        var random = SeededGenerator(state: seed &+ 1_000_000)
        for _ in 0..<4 {
            let text = random.exports()
            let file = ExportsFile(Array(text.utf8))
            var expected: Set<ClientTerm> = []
            for entry in file.entries {
                switch entry.client {
                case .network(let prefix): expected.insert(.prefix(prefix))
                case .host(let name): expected.insert(.host(name))
                case .everyone(.written):
                    for world in ["0.0.0.0", "::"] {
                        if let prefix = Prefix(ip(world), length: 0) { expected.insert(.prefix(prefix)) }
                    }
                case .everyone(.implied), .thisHost, .inexpressible: break
                }
            }
            let rules = parsed(exports(text).policy).rules
            #expect(Set(rules.flatMap(\.from)) == expected)
            #expect(rules.allSatisfy { rule in rule.from.allSatisfy(isWorld) || !rule.from.contains(where: isWorld) })
            #expect(exports(text).policy.rules.isEmpty == expected.isEmpty)
        }
    }
}

private func isWorld(_ term: ClientTerm) -> Bool {
    switch term {
    case .prefix(let prefix): prefix.length == 0
    case .host: false
    }
}
