import Addresses
import Configuration
import Gate
import Glibc
import Portmapper

@testable import PolicyFile

extension FuzzTarget {
    /// Addresses, prefixes and other scalars; addresses are parsed as libc parses them.
    static let text = FuzzTarget(name: "text", allocationFactor: 64) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        checkAddress(text)
        if let address = UniversalAddress(text) {
            require(UniversalAddress(address.description) == address, "\(address)")
        }
        if let note = GrantNote(text) { checkNote(note) }
        checkSyntax(Syntax<IPAddress>.address, text)
        checkSyntax(Syntax<Prefix>.prefix, text)
        checkSyntax(Syntax<Settings.Endpoint>.endpoint, text)
        checkSyntax(Syntax<Settings.PortRange>.portRange, text)
        checkSyntax(Syntax<UInt16>.port, text)
        _ = attempt { () throws(Mistake) in try Syntax<UInt32>.mark.parse(text) }
        _ = attempt { () throws(Mistake) in
            try Syntax<Duration>.duration(.milliseconds(1) ... .seconds(86_400), orZero: true).parse(text)
        }
    }
}

private func checkAddress(_ text: String) {
    let address = IPAddress(text)
    // A C string ends at the first zero byte.
    if !text.utf8.contains(0) {
        require(address == parsedByLibc(text), "\(String(describing: address)), libc has \(text) otherwise")
    }
    guard let address else { return }
    require(IPAddress(address.description) == address, "\(address)")
    require(IPAddress(networkBytes: address.networkBytes) == address, "\(address)")
}

private func parsedByLibc(_ text: String) -> IPAddress? {
    var v4 = in_addr()
    if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: v4) { IPAddress(networkBytes: $0) } }
    var v6 = in6_addr()
    if inet_pton(AF_INET6, text, &v6) == 1 { return withUnsafeBytes(of: v6) { IPAddress(networkBytes: $0) } }
    return nil
}

/// The comment of a grant's element; a comment that is too long is truncated.
private func checkNote(_ note: GrantNote) {
    let text = note.description
    require(text.utf8.count <= GrantNote.bytesMax, text)
    require(GrantNote(text)?.description == text, "\(text) became \(String(describing: GrantNote(text)))")
}

/// A parsed value that is written and parsed again is unchanged.
private func checkSyntax<Value: Equatable>(_ syntax: Syntax<Value>, _ text: String) {
    guard let value = attempt({ () throws(Mistake) in try syntax.parse(text) }) else { return }
    let again = attempt { () throws(Mistake) in try syntax.parse("\(value)") }
    require(again == value, "\(value) became \(String(describing: again))")
}
