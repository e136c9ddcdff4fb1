/// The options of rpcbind in its unit, with the variables of the unit's environment files expanded.
public enum RpcbindOptions {
    /// - Parameters:
    /// - unit: the texts of rpcbind.service and its drop-ins, concatenated.
    ///  - file: returns the text of an environment file, or `nil` if there is none.
    public static func read(unit: String, file: (String) -> String?) -> [String]? {
        var variables: [String: String] = [:]
        var command: String?
        for line in unit.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = parts[1].trimmed
            switch parts[0].trimmed {
            case "ExecStart": command = value.isEmpty ? nil : value
            case "Environment": assign(unquoted(value), to: &variables)
            case "EnvironmentFile": read(file(String(value.drop { $0 == "-" })), into: &variables)
            default: continue
            }
        }
        guard let command else { return nil }
        return command.split(separator: " ").dropFirst().flatMap { word -> [String] in
            guard word.hasPrefix("$") else { return [String(word)] }
            let name = String(word.dropFirst().filter { $0 != "{" && $0 != "}" })
            return (variables[name] ?? "").split(separator: " ").map(String.init)
        }
    }

    private static func read(_ text: String?, into variables: inout [String: String]) {
        for line in (text ?? "").split(separator: "\n") where !line.trimmed.hasPrefix("#") {
            assign(line.trimmed, to: &variables)
        }
    }

    private static func assign(_ text: String, to variables: inout [String: String]) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 { variables[String(parts[0])] = unquoted(String(parts[1])) }
    }

    private static func unquoted(_ text: String) -> String {
        text.count >= 2 && text.hasPrefix("\"") && text.hasSuffix("\"") ? String(text.dropFirst().dropLast()) : text
    }

    /// Whether a single-letter option is given, alone as in `-w` or combined as in `-wf`. The value of `-h` is not
    /// an option.
    public static func has(_ letter: Character, in words: [String]) -> Bool {
        var isValue = false
        for word in words {
            if isValue {
                isValue = false
                continue
            }
            guard word.hasPrefix("-"), !word.hasPrefix("--") else { continue }
            let letters = word.dropFirst()
            let value = letters.firstIndex(of: "h")
            if letters[..<(value ?? letters.endIndex)].contains(letter) { return true }
            isValue = word.hasSuffix("h")
        }
        return false
    }
}
