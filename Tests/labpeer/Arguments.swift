import Addresses

/// A usage error, with its description.
struct UsageError: Error {
    var what: String

    init(_ what: String) { self.what = what }
}

/// A command line: `--name VALUE` options, `--name` flags, and the words between them.
struct Arguments {
    private(set) var words: [String] = []
    private var values: [String: String] = [:]
    private var flags: Set<String> = []

    init(_ list: ArraySlice<String>, options: Set<String>, flags known: Set<String> = []) throws(UsageError) {
        var rest = list
        while let word = rest.popFirst() {
            if !word.hasPrefix("--") {
                words.append(word)
            } else if known.contains(word) {
                flags.insert(word)
            } else if options.contains(word) {
                guard let value = rest.popFirst() else { throw UsageError("\(word) lacks its value") }
                values[word] = value
            } else {
                throw UsageError("unknown option \(word)")
            }
        }
    }

    func has(_ flag: String) -> Bool { flags.contains(flag) }

    func text(_ name: String) -> String? { values[name] }

    func address(_ name: String) throws(UsageError) -> IPAddress? {
        guard let text = values[name] else { return nil }
        guard let address = IPAddress(text) else { throw UsageError("\(name) \(text) is no address") }
        return address
    }

    func number<Number: FixedWidthInteger>(_ name: String) throws(UsageError) -> Number? {
        guard let text = values[name] else { return nil }
        return try parseNumber(text, as: name)
    }

    func bytes(_ name: String) throws(UsageError) -> [UInt8]? {
        guard let text = values[name] else { return nil }
        guard let bytes = parseHex(text) else { throw UsageError("\(name) \(text) is not hexadecimal") }
        return bytes
    }

    func transport(_ name: String) throws(UsageError) -> Transport {
        guard let text = values[name] else { throw UsageError("\(name) udp|tcp is missing") }
        guard let transport = Transport(name: text) else { throw UsageError("\(name) \(text) is neither udp nor tcp") }
        return transport
    }

    /// The value of `--sources`.
    func sources() throws(UsageError) -> (first: IPAddress, count: Int)? {
        guard let text = values["--sources"] else { return nil }
        let parts = text.split(separator: "/")
        guard parts.count == 2, let first = IPAddress(parts[0]), let count = Int(parts[1]), count > 0 else {
            throw UsageError("--sources \(text) is not FIRST-ADDR/N")
        }
        return (first, count)
    }

    /// The value of `--wait`.
    func wait(_ milliseconds: Int = 1000) throws(UsageError) -> Duration {
        .milliseconds(try number("--wait") ?? milliseconds)
    }

    /// The peer given by `--to` and `--port`, at `--interface` if that is given.
    func peer(defaultPort: UInt16? = nil) throws(UsageError) -> Endpoint {
        guard let address = try address("--to") else { throw UsageError("--to ADDR is missing") }
        guard let port: UInt16 = try number("--port") ?? defaultPort else { throw UsageError("--port N is missing") }
        return Endpoint(address, port, interface: try interface())
    }

    private func interface() throws(UsageError) -> UInt32 {
        guard let name = values["--interface"] else { return 0 }
        let index = interfaceIndex(name)
        guard index != 0 else { throw UsageError("--interface \(name) does not exist") }
        return index
    }
}

/// Parses a decimal number, or a hexadecimal one with the prefix `0x`.
func parseNumber<Number: FixedWidthInteger>(_ text: String, as name: String) throws(UsageError) -> Number {
    let number = text.hasPrefix("0x") ? Number(text.dropFirst(2), radix: 16) : Number(text)
    guard let number else { throw UsageError("\(name) \(text) is not a number in range") }
    return number
}

/// Parses pairs of hexadecimal digits; spaces and colons are ignored.
func parseHex(_ text: String) -> [UInt8]? {
    let digits = text.filter { $0 != " " && $0 != ":" }
    guard digits.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    var rest = digits[...]
    while !rest.isEmpty {
        guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
        bytes.append(byte)
        rest = rest.dropFirst(2)
    }
    return bytes
}

extension IPAddress {
    func advanced(by count: Int) -> IPAddress {
        switch self {
        case .v4(let bits): .v4(bits &+ UInt32(count))
        case .v6(let bits): .v6(IPv6Bits(bits.value &+ UInt128(count)))
        }
    }
}
