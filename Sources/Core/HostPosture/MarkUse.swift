/// The use of mark bits of a packet or connection by one rule, read from `nft list ruleset`.
struct MarkUse: Hashable {
    /// The rule uses `ct mark`, not `meta mark`.
    var isOfConnection = false
    /// The rule sets the bits; otherwise it matches them.
    var isSetting = false
    var bits: UInt32 = 0

    static func uses(in rule: String) -> [Self] {
        var uses: [Self] = []
        var words = rule.split(separator: " ").map(String.init)[...]
        var previous = ""
        while let word = words.popFirst() {
            defer { previous = word }
            guard word == "mark" else { continue }
            var use = Self(isOfConnection: previous == "ct")
            use.isSetting = words.first == "set"
            if use.isSetting {
                words.removeFirst()
                use.bits = set(&words)
            } else {
                use.bits = lookedAt(words)
            }
            uses.append(use)
        }
        return uses
    }

    /// Parses `0x1`, `meta mark | 0x1` and `meta mark and 0xfffffffe xor 0x1`. Bits kept from the old mark don't
    /// count as set.
    private static func set(_ words: inout ArraySlice<String>) -> UInt32 {
        var bits: UInt32 = 0
        var operation = "|"
        while true {
            if let first = words.first, ["meta", "ct"].contains(first) { words.removeFirst() }
            if let operand = words.first.flatMap(number) {
                bits = ["&", "and"].contains(operation) ? bits & operand : bits | operand
            } else if words.first != "mark" {
                return bits
            }
            words.removeFirst()
            guard let next = words.first, isOperator(next) else { return bits }
            operation = next
            words.removeFirst()
        }
    }

    /// Parses `0x1`, `& 0x3 == 0x1` and `{ 0x1, 0x2 }`.
    private static func lookedAt(_ words: ArraySlice<String>) -> UInt32 {
        var bits: UInt32 = 0
        for word in words {
            if let number = number(word) { bits |= number }
            if number(word) == nil, !isOperator(word), !["{", "}"].contains(word) { break }
        }
        return bits
    }

    private static func isOperator(_ word: String) -> Bool {
        ["&", "|", "^", "and", "or", "xor", "==", "!="].contains(word)
    }

    private static func number(_ word: String) -> UInt32? {
        let text = word.last == "," ? word.dropLast() : word[...]
        return text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    }
}
