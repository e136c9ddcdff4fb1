import Testing

@Suite("probe as a Nagios plugin") struct PluginTests {
    @Test(
        "a command line that is wrong is UNKNOWN, with a status line, and never CRITICAL",
        arguments: [
            ["--nosuch"], ["--timeout"], ["--expect", "maybe", "host"], ["a", "b"],
            ["--program", "nosuch", "127.0.0.1"],
            ["--timeout", "x", "127.0.0.1"], [], ["--config", "/dev/null/none", "--server", "x"],
        ])
    func unknown(arguments: [String]) throws {
        for words in [["probe", "--nagios"] + arguments, ["probe"] + arguments + ["--nagios"]] {
            guard words.suffix(2) != ["--timeout", "--nagios"] else { continue }
            let output = try run([BuiltProgram.path] + words)
            #expect(output.status == 3 && output.text.hasPrefix("RPC UNKNOWN: "), "\(words): \(output)")
            #expect(output.text.filter { $0 == "\n" }.count == 1, "\(words): \(output)")
        }
    }

    @Test("without --nagios a wrong option stays a usage error, and --help stays help")
    func others() throws {
        #expect(try run([BuiltProgram.path, "probe", "--nosuch"]).status == 2)
        let help = try run([BuiltProgram.path, "probe", "--nagios", "--help"])
        #expect(help.status == 0 && help.text.contains("USAGE"))
    }
}
