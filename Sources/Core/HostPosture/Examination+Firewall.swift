/// Findings about other firewall tables and about the kernel's abilities.
extension Examination {
    /// The hook priority of rpcwarden's own chain (docs/decisions/007-firewall-table.md).
    private static let ownPriority = -10

    var otherTables: [Finding] {
        guard let ruleset = facts.ruleset else { return [] }
        let mark = facts.expected.mark
        return dropping(ruleset, at: .input)
            .map { chain in
                Finding(
                    "other-table-drops", .medium,
                    what: """
                        table \(chain.family) \(chain.table), chain \(chain.name) (priority \(chain.priority)) may drop \
                        traffic that rpcwarden accepts
                        """,
                    why: """
                        An accept verdict ends only its own base chain. This later chain drops the packets that none of \
                        its rules accepts, and no rule accepts rpcwarden's mark. docs/COEXISTENCE.md has tested recipes.
                        """,
                    mend: mark == 0
                        ? ["# set firewall.mark in /etc/rpcwarden/rpcwarden.yaml first"] : Self.mend(chain, mark))
            }
    }

    /// The chains that may drop what rpcwarden's own chain of that hook accepts.
    func dropping(_ ruleset: String, at hook: DroppingChain.Hook) -> [DroppingChain] {
        let mark = facts.expected.mark
        return DroppingChain.dropping(
            ruleset, at: hook, except: facts.expected.table, behind: Self.ownPriority, mark: mark
        ).filter { mark == 0 || !$0.acceptsMark }
    }

    private static func mend(_ chain: DroppingChain, _ mark: UInt32) -> [String] {
        let bits = "0x" + String(mark, radix: 16)
        if chain.table == "firewalld" {
            return [
                "firewall-cmd --permanent --add-service=rpc-bind",
                "# pin the services' ports, let firewalld accept them, and put them into firewall.guard-ports:",
                "# firewalld has no rule that matches a mark (docs/COEXISTENCE.md)", "firewall-cmd --reload",
            ]
        }
        if chain.table == "filter", chain.name == "INPUT", chain.family != "inet" {
            let command = chain.family == "ip6" ? "ip6tables" : "iptables"
            return [
                "\(command) -I INPUT -p tcp --dport 111 -j ACCEPT", "\(command) -I INPUT -p udp --dport 111 -j ACCEPT",
                "\(command) -I INPUT -m mark --mark \(bits)/\(bits) -j ACCEPT",
                "# and save them; with ufw see docs/COEXISTENCE.md",
            ]
        }
        let place = "\(chain.family) \(chain.table) \(chain.name)"
        return [
            "nft insert rule \(place) meta mark and \(bits) != 0 accept",
            "nft insert rule \(place) meta l4proto { tcp, udp } th dport 111 accept",
            "# and write both into the file that loads this table",
        ]
    }

    var kernel: [Finding] {
        var found: [Finding] = []
        if facts.kernel.hasNFTables == false {
            found.append(
                Finding(
                    "no-nftables", .high, what: "the kernel has no nf_tables\(release)",
                    why: "rpcwarden opens and closes ports with nftables, and doesn't start without it.",
                    mend: ["modprobe nf_tables", "# or boot a kernel that has it"]))
        }
        if facts.kernel.hasPacketLog == false {
            found.append(
                Finding(
                    "no-packet-log", .low, what: "the kernel has no nfnetlink_log\(release)",
                    why: "Expired grants are not revived (firewall.revive), and `probed` events are not logged.",
                    mend: ["modprobe nfnetlink_log"]))
        }
        if facts.kernel.ownsTables == false {
            found.append(
                Finding(
                    "no-owned-tables", .note,
                    what: "the kernel refused a table that its owner keeps from others\(release)",
                    why: """
                        `nft flush ruleset` removes rpcwarden's table, and rpcwarden restores it within a second. Linux \
                        has such tables (`flags owner,persist`) since 6.9.
                        """))
        }
        return found
    }

    private var release: String { facts.kernel.release.isEmpty ? "" : " (\(facts.kernel.release))" }

    var surroundings: [Finding] {
        guard facts.isContainer, facts.isRunning else { return [] }
        return [
            Finding(
                "container", .note, what: "this is a container: only its own network and processes were examined",
                why: "rpcwarden needs CAP_NET_ADMIN here, and packets pass the host's firewall before this one.",
                mend: ["# run `rpcwarden doctor` on the host too"])
        ]
    }
}
