/// The part of services(5) that rpcbind uses.
public struct Services: Hashable {
    /// There are entries for both TCP and UDP, with `sunrpc` as name or alias.
    public private(set) var hasSunrpc = false

    /// - Parameter texts: the text of each file that exists.
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
