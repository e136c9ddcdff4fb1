/// exports(5) of the BSDs and macOS, as far as needed to recognize a line of it and to translate it.
enum BSDExports {
    /// The number of words of a line that are read.
    static let wordsMax = 64

    /// The options that the exports(5) of nfs-utils doesn't have.
    private static let options: Set<String> = [
        "network", "mask", "alldirs", "maproot", "mapall", "index", "public", "webnfs", "offline", "32bitclients",
        "fspath", "noresvport", "quiet", "tls", "tlscert", "tlscertuser",
    ]

    /// `-network`, `-mask=255.255.255.0`, `-alldirs`.
    static func isOption(_ word: [UInt8]) -> Bool {
        guard word.first == UInt8(ascii: "-") else { return false }
        let names = word.dropFirst().split(separator: UInt8(ascii: ",")).map { $0.prefix { $0 != UInt8(ascii: "=") } }
        return names.contains { options.contains(String(decoding: $0, as: UTF8.self)) }
    }

    /// The meaning of such words, and their replacement.
    static func advice(_ words: [[UInt8]]) -> String {
        let what =
            "this is the exports(5) syntax of the BSDs and macOS, which nfs-utils doesn't read; it permits no client"
        guard let network = value(of: "-network", in: words) else {
            return "\(what); write each client as client(options), as in 192.0.2.7(rw)"
        }
        let mask = value(of: "-mask", in: words).map { "/\($0)" } ?? ""
        guard case .network(let prefix) = ExportClient.read(Array("\(network)\(mask)".utf8)[...]).client,
            network.contains("/") || !mask.isEmpty
        else { return "\(what); write the network with its length, as in 192.0.2.0/24(rw)" }
        return "\(what); write \(prefix)(rw) for this -network"
    }

    /// The value behind `=`, or the next word.
    private static func value(of option: String, in words: [[UInt8]]) -> String? {
        let texts = words.map { String(decoding: $0, as: UTF8.self) }
        for (index, text) in texts.enumerated() {
            if text.hasPrefix(option + "=") { return String(text.dropFirst(option.utf8.count + 1)) }
            if text == option, index + 1 < texts.count { return texts[index + 1] }
        }
        return nil
    }
}
