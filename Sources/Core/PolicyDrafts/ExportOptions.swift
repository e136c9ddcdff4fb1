/// The options of exports(5), to find mistakes: exportfs exports nothing for an entry with a mistake.
enum ExportOptions {
    private static let words: Set<String> = [
        "ro", "rw", "secure", "insecure", "sync", "async", "nordirplus", "security_label", "hide", "nohide", "crossmnt",
        "nocrossmnt", "wdelay", "no_wdelay", "root_squash", "no_root_squash", "all_squash", "no_all_squash",
        "subtree_check", "no_subtree_check", "auth_nlm", "no_auth_nlm", "secure_locks", "insecure_locks", "acl",
        "no_acl", "pnfs", "no_pnfs", "mountpoint", "mp",
    ]

    /// Options with a value behind `=`.
    private static let keys: Set<String> = [
        "anonuid", "anongid", "squash_uids", "squash_gids", "fsid", "mountpoint", "mp", "refer", "replicas", "sec",
        "xprtsec", "reexport",
    ]

    /// The mistake in a list of options, or `nil`. No option affects the clients that may reach the server.
    static func mistake(in list: some Collection<UInt8>) -> String? {
        var isNumberList = false
        for option in list.split(separator: UInt8(ascii: ",")) {
            let text = String(decoding: option.drop { $0 == UInt8(ascii: " ") }, as: UTF8.self)
            // In `squash_uids=0-15,20` the commas are part of the value.
            if isNumberList, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }) {
                continue
            }
            let key = text.prefix { $0 != "=" }
            isNumberList = key == "squash_uids" || key == "squash_gids"
            let isKnown = key.count == text.count ? words.contains(text) : keys.contains(String(key))
            if !isKnown { return "unknown option \(ShownText(option).quoted)" }
        }
        return nil
    }
}
