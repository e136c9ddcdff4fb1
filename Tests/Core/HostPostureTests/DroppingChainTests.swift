import Testing

@testable import HostPosture

@Suite("other tables") struct DroppingChainTests {
    private static func table(
        _ head: String, _ chain: String = "", priority: String = "filter", policy: String = "drop"
    )
        -> String
    {
        """
        table \(head) {
        \tchain input {
        \t\ttype filter hook input priority \(priority); policy \(policy);
        \(chain)
        \t}
        }

        """
    }

    @Test(
        "a chain that drops behind ours is found",
        arguments: [
            table("inet filter", "\t\ttcp dport 22 accept"),
            table("inet filter", "\t\tct mark 0x10000 accept"),
            table("inet filter", "\t\tcounter packets 0 bytes 0 drop", policy: "accept"),
            table(
                "inet firewalld", "\t\treject with icmpx admin-prohibited", priority: "filter + 10", policy: "accept"),
            table("inet filter", "\t\tjump rest\n\t}\n\tchain rest {\n\t\tdrop", policy: "accept"),
            table("inet rpcwarden2"), table("ip rpcwarden"),
        ])
    func found(ruleset: String) {
        #expect(DroppingChain.dropping(ruleset, except: "rpcwarden", behind: -10).filter { !$0.acceptsMark }.count == 1)
    }

    @Test(
        "one that accepts our mark, drops nothing by default, or comes before ours is not",
        arguments: [
            table("inet filter", "\t\tmeta mark & 0x00010000 != 0x00000000 accept"),
            table(
                "ip filter", "\t\tjump before\n\t}\n\tchain before {\n\t\tmeta mark & 0x00010000 == 0x00010000 accept"),
            table("inet filter", "\t\tct state invalid drop\n\t\ttcp dport 25 drop", policy: "accept"),
            table("inet filter", priority: "raw"), table("inet filter", priority: "-20"), table("inet rpcwarden"),
            "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n",
            "",
        ])
    func passes(ruleset: String) {
        #expect(DroppingChain.dropping(ruleset, except: "rpcwarden", behind: -10).filter { !$0.acceptsMark } == [])
    }
}
