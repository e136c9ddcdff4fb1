import Addresses
import Bundles
import Configuration

// fleet.yaml as tables, as ConfigurationFields has rpcwarden.yaml.

extension Array where Element == Field<SidecarSettings> {
    static var sidecar: Self {
        [
            .value("fleet", \.fleet, .fleetName),
            .optional("node", \.node, .nodeName),
            .section("etcd", \.store, .store),
            .value("socket", \.socketPath, .socketPath),
            .value("control", \.controlPath, .socketPath),
            .optional("state", \.statePath, .absolutePath),
        ]
    }
}

extension Array where Element == Field<SidecarSettings.Store> {
    static var store: Self {
        [
            .list("endpoints", \.endpoints, .storeEndpoint, isNeeded: true),
            .value("ca", \.caPath, .absolutePath),
            .optional("certificate", \.certificatePath, .absolutePath),
            .optional("key", \.keyPath, .absolutePath),
            .optional("user", \.user, .text(bytesMax: 128)),
            .optional("password-file", \.passwordPath, .absolutePath),
        ]
    }
}

extension Syntax where Value == String {
    /// A node's name is a part of keys, as a fleet's is.
    static var nodeName: Self {
        Self { text throws(Mistake) in
            guard PolicyBundle.isName(text) else {
                throw Mistake("\(quoted(text)) is not a name of a node", hint: "use \(PolicyBundle.nameRule)")
            }
            return text
        }
    }
}

extension Syntax where Value == SidecarSettings.Endpoint {
    private static var defaultPort: UInt16 { 2379 }

    /// `https://HOST[:PORT]`.
    static var storeEndpoint: Self {
        Self { text throws(Mistake) in
            let example = "write https://etcd1:2379"
            guard !text.lowercased().hasPrefix("http://") else {
                throw Mistake(
                    "\(quoted(text)) is not encrypted: passwords and grants would be readable on the way",
                    hint: "give etcd a certificate, and \(example)")
            }
            let scheme = "https://"
            guard text.hasPrefix(scheme) else { throw Mistake("\(quoted(text)) is no address of etcd", hint: example) }
            var rest = text.dropFirst(scheme.count)
            if rest.hasSuffix("/") { rest.removeLast() }
            let (host, port) = Self.parts(of: rest)
            guard Self.isHost(host) else { throw Mistake("\(quoted(text)) names no host", hint: example) }
            guard let port else { return SidecarSettings.Endpoint(host: host, port: defaultPort) }
            guard let number = UInt16(port), number > 0, String(number) == port else {
                throw Mistake("\(quoted(port)) is no port", hint: example)
            }
            return SidecarSettings.Endpoint(host: host, port: number)
        }
    }

    /// An IPv6 address stands in brackets (RFC 3986, 3.2.2).
    private static func parts(of text: Substring) -> (host: String, port: String?) {
        if text.first == "[", let end = text.firstIndex(of: "]") {
            let behind = text[text.index(after: end)...]
            let host = String(text[text.index(after: text.startIndex)..<end])
            guard IPAddress(host)?.isIPv4 == false, behind.isEmpty || behind.first == ":" else { return ("", nil) }
            return (host, behind.isEmpty ? nil : String(behind.dropFirst()))
        }
        guard let colon = text.firstIndex(of: ":") else { return (String(text), nil) }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }

    private static func isHost(_ text: String) -> Bool {
        let isPart = { (byte: UInt8) in
            isLetterOrDigit(byte) || [UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_")].contains(byte)
        }
        let bytesMax = 253
        if IPAddress(text) != nil { return true }
        return (1...bytesMax).contains(text.utf8.count) && text.utf8.allSatisfy(isPart)
    }
}
