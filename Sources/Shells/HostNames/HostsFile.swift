import Addresses
import CHostNames
import Glibc

/// hosts(5).
enum HostsFile {
    static let path = "/etc/hosts"

    /// The addresses of a name or an alias; none if the file can't be read.
    static func addresses(of name: String, at path: String = path) -> Set<IPAddress> {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        defer { free(line) }
        var capacity = 0
        var addresses: Set<IPAddress> = []
        while getline(&line, &capacity, file) >= 0 {
            // Some files list a hundred thousand names: most lines aren't copied.
            guard let line, rpcw_mentions(line, name) else { continue }
            if let address = address(of: name, in: String(cString: line)) { addresses.insert(address) }
        }
        return addresses
    }

    private static func address(of name: String, in line: String) -> IPAddress? {
        let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
        guard words.dropFirst().contains(where: { $0.lowercased() == name.lowercased() }) else { return nil }
        return words.first.flatMap { IPAddress($0) }
    }
}
