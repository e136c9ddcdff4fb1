import Addresses
import Policy

/// The meaning of a term of `to:` or of a group of programs.
enum ProgramTerm: Hashable {
    case program(Program)
    case range(ClosedRange<Program>)

    var program: Program? {
        switch self {
        case .program(let program): program
        case .range: nil
        }
    }

    var range: ClosedRange<Program>? {
        switch self {
        case .program: nil
        case .range(let range): range
        }
    }
}

extension Syntax where Value == ProgramTerm {
    /// A name of rpc(5), a number, or a range of numbers: a program term that is no group name.
    static func program(names: ProgramNames, groups: [String]) -> Self {
        Self { text throws(Mistake) in
            if let program = names.program(named: text) { return .program(program) }
            if let range = try range(text) { return range }
            guard !text.isEmpty, text.utf8.allSatisfy(isDigit) || text.lowercased().hasPrefix("0x") else {
                throw Mistake("unknown program \(quoted(text))", hint: "write a name of /etc/rpc, or a number") {
                    Suggestion.forWord(text, among: Array(names.allNames) + groups)
                }
            }
            guard let number = UInt32(text), number > 0, !text.hasPrefix("0") else {
                throw Mistake("\(quoted(text)) is not a program number", hint: hexHint(text) ?? "write 1 to 4294967295")
            }
            return .program(Program(number))
        }
    }

    /// `0x40000000-0x5fffffff`, `536870912-536870999`; `nil` for text that was hardly meant as a range.
    private static func range(_ text: String) throws(Mistake) -> ProgramTerm? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        let beginsWithDigit = { (end: Substring) in end.utf8.first.map(isDigit) ?? false }
        guard ends.count == 2, ends.allSatisfy(beginsWithDigit) else { return nil }
        guard let lower = number(ends[0]), let upper = number(ends[1]) else {
            throw Mistake(
                "\(quoted(text)) is not a range of program numbers",
                hint: "write two numbers of 1 to 4294967295, as in 0x40000000-0x5fffffff")
        }
        guard lower <= upper else {
            throw Mistake("\(quoted(text)) runs backwards", hint: "write \(ends[1])-\(ends[0])")
        }
        if lower == upper { return .program(lower) }
        guard !(lower...upper).contains(.portmapper) else {
            throw Mistake(
                "\(quoted(text)) contains \(Program.portmapper), the portmapper itself, which no rule opens",
                hint: "write \(around(.portmapper, ends, lower, upper))")
        }
        return .range(lower...upper)
    }

    private static func around(_ hole: Program, _ ends: [Substring], _ lower: Program, _ upper: Program) -> String {
        let below = lower < hole ? "\(ends[0])-\(hole.rawValue - 1)" : nil
        let above = upper > hole ? "\(hole.rawValue + 1)-\(ends[1])" : nil
        return [below, above].compactMap { $0 }.joined(separator: ", ")
    }

    /// Decimal without a leading zero, or hexadecimal; 0 is no program.
    private static func number(_ text: Substring) -> Program? {
        let isHex = text.lowercased().hasPrefix("0x")
        let digits = isHex ? text.dropFirst(2) : text
        // Checked first: UInt32 would accept a sign.
        guard digits.utf8.allSatisfy(isLetterOrDigit), isHex || !digits.hasPrefix("0"),
            let number = UInt32(digits, radix: isHex ? 16 : 10), number > 0
        else { return nil }
        return Program(number)
    }

    private static func hexHint(_ text: String) -> String? {
        guard text.lowercased().hasPrefix("0x") else { return nil }
        return UInt32(text.dropFirst(2), radix: 16).map { "write \($0)" }
    }
}

extension ProgramNames {
    /// Why a command can't take the name of a program that isn't known.
    public func refusal(of name: String) -> String {
        let hint = Suggestion.forWord(name, among: allNames) ?? "use a name of /etc/rpc, or its number"
        return "unknown program: \(quoted(name)); \(hint)"
    }
}
