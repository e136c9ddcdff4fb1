/// The head of an HTTP request (RFC 9112), as far as a server of one page needs it.
struct HTTPRequest: Equatable {
    var method: String
    /// The path without its query.
    var path: String
    /// The Accept fields, joined by commas.
    var accept: String

    /// Prometheus sends some 300 bytes; browsers with their cookies a few thousand.
    static let headBytesMax = 8192

    /// Why the bytes are no request.
    enum Fault: Error, Equatable {
        /// The head has not arrived completely.
        case incomplete
        case malformed
        case tooLong
        case otherVersion
    }

    /// Parses the head at the beginning of `bytes`.
    init(reading bytes: [UInt8]) throws(Fault) {
        let lines = try Self.headLines(of: bytes)
        let words = lines[0].split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, Self.isToken(words[0]), words[1].first == UInt8(ascii: "/"),
            words[1].allSatisfy({ (0x21...0x7e).contains($0) }), words[2].starts(with: "HTTP/".utf8)
        else { throw .malformed }
        guard words[2].elementsEqual("HTTP/1.1".utf8) || words[2].elementsEqual("HTTP/1.0".utf8) else {
            throw .otherVersion
        }
        var hosts = 0
        var ranges: [String] = []
        for line in lines.dropFirst() {
            let (name, value) = try Self.field(line)
            if name == "host" { hosts += 1 }
            if name == "accept" { ranges.append(value) }
        }
        // RFC 9112, 3.2: 400 for a request of HTTP/1.1 without a Host, or for one with several.
        guard hosts == 1 || hosts == 0 && words[2].last == UInt8(ascii: "0") else { throw .malformed }
        method = String(decoding: words[0], as: UTF8.self)
        path = String(decoding: words[1].prefix { $0 != UInt8(ascii: "?") }, as: UTF8.self)
        accept = ranges.joined(separator: ",")
    }

    /// The lines before the empty one, each ended by CRLF; other control characters are refused.
    private static func headLines(of bytes: [UInt8]) throws(Fault) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var start = 0
        for index in bytes.indices.prefix(headBytesMax) {
            switch bytes[index] {
            case UInt8(ascii: "\n"):
                guard index > start, bytes[index - 1] == UInt8(ascii: "\r") else { throw .malformed }
                if index - 1 == start {
                    guard !lines.isEmpty else { throw .malformed }
                    return lines
                }
                lines.append(bytes[start..<index - 1])
                start = index + 1
            case UInt8(ascii: "\r"):
                let isBare = index + 1 < bytes.count && bytes[index + 1] != UInt8(ascii: "\n")
                guard !isBare else { throw .malformed }
            case UInt8(ascii: "\t"): break
            case 0..<0x20, 0x7f: throw .malformed
            default: break
            }
        }
        throw bytes.count >= headBytesMax ? .tooLong : .incomplete
    }

    /// Parses `name: value`; the name is returned in lower case.
    private static func field(_ line: ArraySlice<UInt8>) throws(Fault) -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), isToken(line[..<colon]) else { throw .malformed }
        let isBlank = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        let value = line[(colon + 1)...].drop(while: isBlank)
        return (
            String(decoding: line[..<colon], as: UTF8.self).lowercased(), String(decoding: value, as: UTF8.self)
        )
    }

    /// RFC 9110, 5.6.2.
    private static func isToken(_ bytes: ArraySlice<UInt8>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}

extension HTTPRequest {
    /// OpenMetrics, if it is accepted by name, with at least the quality of plain text.
    var exposition: Exposition {
        var openMetrics = 0.0
        var plain = 0.0
        for range in accept.split(separator: ",") {
            let parts = range.split(separator: ";").map { Self.trimmed($0).lowercased() }
            let weight = parts.first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
            let version = parts.first { $0.hasPrefix("version=") }
            switch parts.first {
            case "application/openmetrics-text" where version == nil || version == "version=1.0.0":
                openMetrics = max(openMetrics, weight)
            case "text/plain": plain = max(plain, weight)
            default: break
            }
        }
        return openMetrics > 0 && openMetrics >= plain ? .openMetrics : .prometheus
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " || $0 == "\t" }
        guard let end = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return start.prefix(0) }
        return start[...end]
    }
}
