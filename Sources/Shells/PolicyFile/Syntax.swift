import Addresses
import Bundles
import System

/// Parses a scalar's text into a value.
struct Syntax<Value> {
    let parse: (String) throws(Mistake) -> Value

    init(_ parse: @escaping (String) throws(Mistake) -> Value) { self.parse = parse }
}

extension Syntax where Value == Bool {
    /// `true` or `false`; YAML 1.1's other spellings are refused, with a hint.
    static var flag: Self {
        Self { text throws(Mistake) in
            switch text {
            case "true": return true
            case "false": return false
            default: throw Mistake("expected true or false, found \(quoted(text))", hint: flagHint(text))
            }
        }
    }

    private static func flagHint(_ text: String) -> String? {
        switch text.lowercased() {
        case "true", "yes", "on", "y", "1": "write true"
        case "false", "no", "off", "n", "0": "write false"
        default: nil
        }
    }
}

extension Syntax where Value: RawRepresentable<String> & CaseIterable {
    static var choice: Self { .choice(of: Value.allCases.map { ($0.rawValue, $0) }) }
}

extension Syntax {
    static func choice(of choices: [(word: String, value: Value)]) -> Self {
        Self { text throws(Mistake) in
            if let choice = choices.first(where: { $0.word == text }) { return choice.value }
            let words = choices.map(\.word)
            let list = words.dropLast().joined(separator: ", ") + " or " + (words.last ?? "")
            throw Mistake("expected \(list), found \(quoted(text))", hint: Suggestion.forWord(text, among: words))
        }
    }
}

extension Syntax where Value == String {
    static var text: Self {
        Self { text throws(Mistake) in
            guard !text.isEmpty else { throw Mistake("expected a text, found an empty text") }
            guard text.unicodeScalars.allSatisfy(isPrintable) else {
                throw Mistake("\(quoted(text)) contains a control character", hint: "leave it out")
            }
            return text
        }
    }

    static func text(bytesMax: Int) -> Self {
        Self { text throws(Mistake) in
            let text = try Self.text.parse(text)
            guard text.utf8.count <= bytesMax else {
                throw Mistake("\(text.utf8.count) bytes are too many", hint: "use at most \(bytesMax)")
            }
            return text
        }
    }

    /// The name of this host in audit lines: a host name (RFC 1035, 2.3.4), or any other text.
    static var hostLabel: Self { text(bytesMax: 253) }

    static var absolutePath: Self {
        Self { text throws(Mistake) in
            let path = try Self.text.parse(text)
            guard path.hasPrefix("/") else {
                throw Mistake("\(quoted(path)) is not an absolute path", hint: "begin it with /")
            }
            return path
        }
    }

    /// unix(7): `sun_path` holds 108 bytes, the last of them zero.
    static var socketPath: Self {
        Self { text throws(Mistake) in
            let path = try absolutePath.parse(text)
            guard path.utf8.count <= UnixSocket.pathBytesMax else {
                throw Mistake(
                    "a socket's path takes at most \(UnixSocket.pathBytesMax) bytes, this one has \(path.utf8.count)")
            }
            return path
        }
    }

    /// An identifier of nft(8), so that administrators can name the table there.
    static var tableName: Self {
        Self { text throws(Mistake) in
            let lengthMax = 64
            let name = text.utf8
            let isWord = { (byte: UInt8) in
                isLetterOrDigit(byte) || [UInt8(ascii: "_"), UInt8(ascii: "-")].contains(byte)
            }
            guard let first = name.first, !isDigit(first), first != UInt8(ascii: "-"), name.allSatisfy(isWord),
                name.count <= lengthMax
            else {
                throw Mistake(
                    "\(quoted(text)) is not a table name",
                    hint: "use letters, digits, _ and -, a letter first, at most \(lengthMax)")
            }
            return text
        }
    }

    /// A server's name: a word that is no address, and not the word for all servers.
    static var serverName: Self {
        Self { text throws(Mistake) in
            let lengthMax = 64
            let isPart = { (byte: UInt8) in
                isLetterOrDigit(byte) || [UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ".")].contains(byte)
            }
            guard (1...lengthMax).contains(text.utf8.count), text.utf8.allSatisfy(isPart),
                text.utf8.first.map(isLetterOrDigit) ?? false, IPAddress(text) == nil
            else {
                throw Mistake(
                    "\(quoted(text)) is not a server's name",
                    hint: "use letters, digits, _, - and ., a letter or a digit first, at most \(lengthMax)")
            }
            guard text != ServerTerm.anyServer else {
                throw Mistake("\(quoted(text)) means every server in a policy", hint: "choose another name")
            }
            return text
        }
    }

    /// The name of a fleet or of a group of its nodes.
    static var fleetName: Self {
        Self { text throws(Mistake) in
            guard PolicyBundle.isName(text) else {
                throw Mistake(
                    "\(quoted(text)) is not a name of a fleet or a group", hint: "use \(PolicyBundle.nameRule)")
            }
            return text
        }
    }

    /// A user name, or a uid in decimal.
    static var owner: Self {
        Self { text throws(Mistake) in
            let lengthMax = 256  // useradd(8) takes 32; directories have longer ones
            let isPart = { (byte: UInt8) in byte > UInt8(ascii: " ") && byte != UInt8(ascii: ":") && byte != 127 }
            guard (1...lengthMax).contains(text.utf8.count), text.utf8.allSatisfy(isPart) else {
                throw Mistake(
                    "\(quoted(text)) is not a user name", hint: "write a name of passwd(5), or a uid in decimal")
            }
            if text.utf8.allSatisfy(isDigit), UInt32(text) == nil {
                throw Mistake("\(quoted(text)) is not a uid", hint: "write 0 to \(UInt32.max)")
            }
            return text
        }
    }
}

func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

func isLetterOrDigit(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
}
