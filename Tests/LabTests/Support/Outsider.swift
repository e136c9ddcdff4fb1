import Foundation

/// Another program that changes nftables, with root's rights.
extension Lab {
    /// Repeats a shell command in the server until it is killed.
    func spawnLoop(_ name: String, _ command: String) throws {
        try spawn(.server, name, ["sh", "-c", "while :; do \(command); done"])
    }

    /// Starts the process `taker`, which replaces the table by an empty table that it owns until it ends.
    func spawnTaker(of table: String) throws {
        let pipe = "\(state)/taker.pipe"
        try spawn(.server, "taker", ["sh", "-c", "mkfifo \(pipe) && exec nft -i <>\(pipe)"])
        let take = "delete \(table); add \(table) { flags owner; }"
        let output = try exec(.server, "sh", "-c", "until [ -p \(pipe) ]; do :; done; echo '\(take)' >\(pipe)")
        guard output.isSuccess else { throw CommandError(command: [take], output: output) }
    }

    /// Writes a file in nft's language; returns its path.
    func ruleset(_ lines: [String], named name: String) throws -> String {
        try write(lines.joined(separator: "\n") + "\n", to: name)
        return "\(state)/\(name)"
    }

    func size(of set: String) throws -> Int {
        let words = try nft("list set inet rpcwarden \(set)").text.split(whereSeparator: \.isWhitespace)
        return words.firstIndex(of: "size").flatMap { Int(words[$0 + 1]) } ?? 0
    }

    /// `CLIENT tcp/PORT` for each element that nft lists.
    func kernelGrants(in set: String = "granted4") throws -> Set<String> {
        Set(
            try elements(of: set).map { element in
                let words = element.split(separator: " ")
                return "\(words[0]) \(words[2])/\(words[4])"
            })
    }

    /// The same, from `rpcwarden grants`.
    func listedGrants() throws -> Set<String> { Set(try grants().map { "\($0.client) \($0.service)" }) }

    func counts() throws -> [String: Int] { try listing("status", as: StatusReport.self).counts }

    /// A `storm` command line: lookups from many source addresses, each followed by a connect to the port in the
    /// answer unless `connects` is false.
    ///
    /// - Parameter wait: in milliseconds, for each reply and each connection.
    func storm(
        _ echo: Echo, count: Int, from first: String, parallel: Int = 4, wait: Int = 4000, connects: Bool = true
    ) -> String {
        "storm --to 10.77.1.1 --over udp --count \(count) --program \(echo.program) --version 1"
            + " --service \(echo.transport) --sources \(first)/\(count) --parallel \(parallel) --wait \(wait)"
            + (connects ? " --connect" : "")
    }
}

/// The numbers in a storm's line `ok=… refused=… …`.
func tally(_ output: Output) -> [String: Int] {
    var tally: [String: Int] = [:]
    for word in output.text.split(whereSeparator: \.isWhitespace) {
        let parts = word.split(separator: "=")
        if parts.count == 2 { tally[String(parts[0])] = Int(parts[1]) }
    }
    return tally
}
