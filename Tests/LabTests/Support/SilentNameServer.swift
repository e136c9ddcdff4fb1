import Testing

extension Lab {
    /// The server's own name server receives queries and answers none.
    ///
    /// - Parameter timeout: after how many seconds the C library gives up.
    func silenceNames(timeout: Int) async throws {
        try spawnPeer(.server, "names", "listen --at 127.0.0.1 --port 53 --over udp")
        try await eventually("it listens") { log("names").contains("listening") }
        try write("nameserver 127.0.0.1\noptions timeout:\(timeout) attempts:1\n", to: "resolv.conf")
        #expect(try exec(.server, ["mount", "--bind", "\(state)/resolv.conf", "/etc/resolv.conf"]).isSuccess)
    }
}
