import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct Failures {
        @Test("names the operation that the kernel refused, and does nothing of the transaction")
        func namesTheOperation() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                // 1–9 and 5–12 overlap: the second is refused.
                let failure = table.commit(
                    Example.issue(Example.grant(Example.client4)), .addStanding(Example.standing(.v4(1), .v4(9))),
                    .addStanding(Example.standing(.v4(5), .v4(12))), .guardPort(Example.nfs))
                #expect(failure?.operation == 2)
                #expect(failure?.errno == EEXIST)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("says in the kernel's words why: errno and, where there is one, the extended text")
        func saysWhy() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                let failure = table.commit(.guardPort(Example.nfs))
                #expect(failure == CommitFailure(errno: ENOENT, message: "No such file or directory", operation: 0))
                let broken = table.commit(.makeTable(TableShape(name: String(repeating: "x", count: 300))))
                let text = "Numerical result out of range: Attribute failed policy validation"
                #expect(broken == CommitFailure(errno: ERANGE, message: text, operation: 0))
            }
        }

        @Test("refuses a grant beyond the set's size, and says that the set is full")
        func fullSet() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 3))
                let keys = (1...3).map { Example.grant(.v4($0)) }
                #expect(table.commit(keys.map { Example.issue($0) }) == nil)
                let failure = table.commit(.guardPort(Example.nfs), Example.issue(Example.grant(.v4(4))))
                #expect(failure == CommitFailure(errno: ENFILE, message: "the set is full (ENFILE)", operation: 1))
                #expect(try table.grants() == keys)
                #expect(try table.contents().guarded == [])
            }
        }

        @Test("issues anew and revokes in a full set, present or not, together with all else")
        func revokesInAFullSet() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 3, quarantinesMax: 1))
                let keys = (1...3).map { Example.grant(.v4($0)) }
                #expect(
                    table.commit(keys.map { Example.issue($0) } + [.quarantine(.v4(1), timeout: .seconds(9))]) == nil)
                #expect(table.commit(keys.map { Example.issue($0, timeout: .seconds(7)) }) == nil)
                #expect(try table.contents().granted.map(\.timeout) == [.seconds(7), .seconds(7), .seconds(7)])

                let absent = (7...9).map { Example.grant(.v4($0)) }
                #expect(
                    table.commit(
                        .revoke(absent[0]), .guardPort(Example.nfs), .revoke(absent[1]), .revoke(keys[1]),
                        .release(.v4(2)),
                        .revoke(keys[1]), Example.issue(absent[2])) == nil)
                #expect(try table.grants() == [keys[0], keys[2], absent[2]])
                #expect(try table.contents().guarded == [Example.nfs])
                #expect(try table.contents().quarantined.count == 1)
            }
        }

        @Test("does nothing at all if a revoke in a full set comes with what the kernel refuses")
        func staysAtomicInAFullSet() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 3))
                let keys = (1...3).map { Example.grant(.v4($0)) }
                #expect(table.commit(keys.map { Example.issue($0) }) == nil)
                let failure = table.commit(
                    .revoke(Example.grant(.v4(9))), .guardPort(Example.nfs), Example.issue(Example.grant(.v4(8))),
                    .revoke(keys[0]))
                #expect(failure?.errno == ENFILE)
                #expect(failure?.operation == 2)
                #expect(try table.grants() == keys)
                #expect(try table.contents().guarded == [])
            }
        }

        @Test("unstands a range that isn't there but overlaps one that is")
        func unstandsTheOverlapping() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let kept = Example.standing(.v4(1), .v4(9))
                #expect(table.commit(.addStanding(kept)) == nil)
                #expect(
                    table.commit(.removeStanding(Example.standing(.v4(5), .v4(12))), .guardPort(Example.nfs)) == nil)
                #expect(try table.contents().standing == [kept])
                #expect(try table.contents().guarded == [Example.nfs])
            }
        }

        @Test("answers once for a transaction of which so much fails that the answers overflow")
        func manyFailures() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                let failure = table.commit((1...100_000).map { Example.issue(Example.grant(.v4($0))) })
                #expect(failure?.errno == ENOENT)
                #expect(failure?.operation == 0)
                #expect(table.commit(.makeTable(TableShape())) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("doesn't take for ours a table that lacks one of our sets, or has it of another kind")
        func foreignTable() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                #expect(try table.contents(of: "rpcwarden") == nil)
                _ = shell("nft add table inet rpcwarden")
                #expect(
                    throws: NetfilterError.foreign(
                        table: "rpcwarden", missing: TableSet.ofThisHost.filter(\.isAdopted).map(\.rawValue))
                ) {
                    try table.contents(of: "rpcwarden")
                }
                #expect(table.commit(.makeTable(TableShape(management: .sets))) == nil)
                #expect(try table.contents() == TableContents())
                let other = shell(
                    "nft 'delete set inet rpcwarden guarded; add set inet rpcwarden guarded { type ipv4_addr; }'")
                #expect(other.status == 0, "\(other.text)")
                #expect(throws: NetfilterError.foreign(table: "rpcwarden", missing: ["guarded"])) {
                    try table.contents(of: "rpcwarden")
                }
            }
        }

        @Test("says of a foreign table how to go on, and what it says works")
        func foreignAdvice() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                _ = shell("nft add table inet rpcwarden")
                do {
                    _ = try table.contents(of: "rpcwarden")
                    Issue.record("took it for ours")
                } catch {
                    let text = "\(error)"
                    #expect(text.hasPrefix("table inet rpcwarden isn't rpcwarden's: it has no set guarded, "))
                    #expect(text.contains("; set firewall.table to another name, or delete that table: "))
                    let command = try #require(text.split(separator: ": ").last)
                    #expect(command == "nft delete table inet rpcwarden")
                    #expect(shell(String(command)).status == 0)
                }
                #expect(try table.contents(of: "rpcwarden") == nil)
            }
        }

        @Test("tells full, missing and refused apart")
        func kinds() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 1))
                #expect(
                    table.commit(Example.issue(Example.grant(.v4(1))), Example.issue(Example.grant(.v4(2))))?.kind
                        == .full)
                let refused = withoutNetAdmin { table.commit(.guardPort(Example.nfs)) }
                #expect(
                    refused == CommitFailure(errno: EPERM, message: "Operation not permitted: CAP_NET_ADMIN is missing")
                )
                #expect(shell("nft delete set inet rpcwarden quarantined4").status != 0)
                #expect(
                    shell("nft 'flush chain inet rpcwarden portmapper; delete set inet rpcwarden quarantined4'").status
                        == 0)
                #expect(table.commit(.quarantine(.v4(1), timeout: .seconds(9)))?.errno == ENOENT)
                #expect(shell("nft delete table inet rpcwarden").status == 0)
                #expect(table.commit(.guardPort(Example.nfs))?.errno == ENOENT)
                #expect(
                    table.commit(.makeTable(TableShape(name: String(repeating: "x", count: 300))))?.kind == .other)
            }
        }

        @Test(
            "each errno is of the kind that says what to do",
            arguments: [
                (ENFILE, CommitFailure.Kind.full), (ENOSPC, .full), (ENOENT, .other), (EPERM, .other),
                (ERESTART, .busy), (EAGAIN, .busy), (EINTR, .busy), (EBUSY, .busy),
                (ENOBUFS, .busy), (EEXIST, .other), (EINVAL, .other), (EPROTO, .other), (0, .other),
            ])
        func kind(errno: Int32, kind: CommitFailure.Kind) {
            #expect(CommitFailure(errno: errno, message: "").kind == kind)
        }

        @Test("repeats what a busy kernel refused, up to a limit, and nothing else")
        func repeats() {
            let busy = CommitFailure(errno: ERESTART, message: "busy")
            let full = CommitFailure(errno: ENFILE, message: "full", operation: 1)
            /// The failures and the number of attempts if the attempts give these answers; the last answer repeats
            /// forever.
            func outcome(_ answers: [[CommitFailure]]) -> (failures: [CommitFailure], attempts: Int) {
                var attempts = 0
                let failures = NetfilterTable.repeatingWhileBusy {
                    attempts += 1
                    return answers[min(attempts, answers.count) - 1]
                }
                return (failures, attempts)
            }
            #expect(outcome([[]]) == ([], 1))
            #expect(outcome([[busy], [busy, busy], []]) == ([], 3))
            #expect(outcome([[busy], [full]]) == ([full], 2))
            #expect(outcome([[busy, full]]) == ([busy, full], 1))
            #expect(outcome([[busy]]) == ([busy], NetfilterTable.commitAttemptsMax))
        }

        @Test("isn't confused by a table of the same name in another family")
        func otherFamily() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                _ = shell("nft add table ip rpcwarden")
                #expect(try table.contents(of: "rpcwarden") == nil)
                #expect(table.commit(.makeTable(TableShape())) == nil)
                #expect(try table.contents() == TableContents())
            }
        }
    }
}
