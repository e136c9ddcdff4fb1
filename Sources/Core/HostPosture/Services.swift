/// services(5), as far as rpcbind asks it.
public struct Services: Hashable {
    /// For TCP and UDP, by that name or as an alias.
    public private(set) var hasSunrpc = false

    /// - Parameter texts: each file that there is.
    public init(_ texts: [String]) {
        var places: Set<Substring> = []
        for line in texts.joined(separator: "\n").split(separator: "\n") {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            guard words.count > 1, words[0] == "sunrpc" || words.dropFirst(2).contains("sunrpc") else { continue }
            places.insert(words[1])
        }
        hasSunrpc = places.isSuperset(of: ["111/tcp", "111/udp"])
    }
}
