/// hosts.allow and hosts.deny (hosts_access(5)), as far as rpcbind's callers on this host go.
struct HostsAccess {
    /// The line of hosts.deny that refuses this host's own calls to rpcbind, if one does.
    static func refusal(allow: String, deny: String) -> String? {
        guard !lines(allow).contains(where: { matches($0) }) else { return nil }
        return lines(deny).first { matches($0) }
    }

    private static func lines(_ text: String) -> [String] {
        text.replacing("\\\n", with: " ").split(separator: "\n").map(\.trimmed).filter { !$0.hasPrefix("#") }
    }

    private static func matches(_ line: String) -> Bool {
        let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return false }
        // Options stand behind the next colon, but for those inside of an IPv6 address.
        let clients = parts[1].replacing(#/\[[^\]]*\]/#) { $0.output.replacing(":", with: ";") }
        return names(parts[0], isDaemon) && names(clients.prefix { $0 != ":" }, isThisHost)
    }

    /// `list EXCEPT list`; a pattern without EXCEPT is a list alone.
    private static func names(_ list: some StringProtocol, _ matches: (String) -> Bool) -> Bool {
        let words = String(list).split { $0 == " " || $0 == "," || $0 == "\t" }.map(String.init)
        let sides = words.split(separator: "EXCEPT", maxSplits: 1, omittingEmptySubsequences: false)
        guard sides[0].contains(where: matches) else { return false }
        return sides.count == 1 || !sides[1].contains(where: matches)
    }

    private static func isDaemon(_ word: String) -> Bool { ["ALL", "rpcbind"].contains(word) }

    private static func isThisHost(_ word: String) -> Bool {
        ["ALL", "LOCAL", "localhost", "127.0.0.1", "127.", "[;;1]", "::1"].contains(word)
            || word.hasPrefix("127.0.0.0/")
    }
}
