/// Finds the common name in the subject of a certificate (RFC 5280, 4.1; X.690).
///
///     Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
///         [0] version, serialNumber INTEGER, signature SEQUENCE, issuer SEQUENCE, validity SEQUENCE,
///         subject SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value } … } … }
enum DERSubject {
    private static let sequence: UInt8 = 0x30
    private static let set: UInt8 = 0x31
    private static let version: UInt8 = 0xa0
    /// 2.5.4.3
    private static let commonName: [UInt8] = [0x06, 0x03, 0x55, 0x04, 0x03]

    /// What can't be read has no common name.
    static func hasCommonName(certificate: [UInt8]) -> Bool {
        var outer = DERReader(certificate[...])
        guard let body = outer.next(tag: sequence) else { return false }
        var certificate = DERReader(body)
        guard let signed = certificate.next(tag: sequence) else { return false }
        var fields = DERReader(signed)
        if fields.nextTag == version { _ = fields.next() }
        // Serial number, signature, issuer, validity.
        for _ in 0..<4 { _ = fields.next() }
        guard let subject = fields.next(tag: sequence) else { return false }
        var names = DERReader(subject)
        while let name = names.next(tag: set) {
            var attributes = DERReader(name)
            while let attribute = attributes.next(tag: sequence) {
                if attribute.starts(with: commonName) { return true }
            }
        }
        return false
    }
}

/// Takes one element after another; ends at the first that is longer than its container.
private struct DERReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var nextTag: UInt8? { rest.first }

    mutating func next(tag: UInt8) -> ArraySlice<UInt8>? { nextTag == tag ? next() : nil }

    /// The contents of the next element.
    mutating func next() -> ArraySlice<UInt8>? {
        guard rest.popFirst() != nil, let first = rest.popFirst() else { return nil }
        var count = Int(first)
        if first >= 0x80 {
            // The number of bytes that the length has; more than three would be a certificate of 16 MiB.
            let digits = Int(first & 0x7f)
            guard (1...3).contains(digits), rest.count >= digits else { return nil }
            count = rest.prefix(digits).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(digits)
        }
        guard count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
