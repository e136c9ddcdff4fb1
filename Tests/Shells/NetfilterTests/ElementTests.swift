import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct Elements {
        @Test("revokes and unguards what was never there")
        func removesTheAbsent() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let failure = table.commit(
                    .revoke(Example.grant(Example.client4)), .revoke(Example.grant(Example.client6)),
                    .forget(Example.grant(Example.client4)), .forget(Example.grant(Example.client6)),
                    .unguardPort(Example.nfs), .release(Example.client4), .release(Example.client6),
                    .removeStanding(Example.standing(.v4(1), .v4(9))), .removeStanding(Example.standing(.v6(1), .v6(9)))
                )
                #expect(failure == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("takes away each kind of element that it made")
        func removesThePresent() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(Example.operations) == nil)
                #expect(try table.contents().standing.count == 4)
                #expect(table.commit(Example.operations.map(\.undoing)) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("reads back what it wrote: keys, timeouts, comments")
        func readsBack() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(Example.operations) == nil)
                let contents = try table.contents()
                #expect(contents.guarded == [Example.nfs, Example.mountd])
                #expect(contents.standing == Example.standingKeys)
                #expect(Set(contents.quarantined.keys) == [Example.client4, Example.client6])
                #expect(contents.quarantined.values.allSatisfy { $0 > .seconds(590) && $0 <= .seconds(600) })
                let first = try #require(contents.granted.first { $0.key.client.isIPv4 })
                #expect(first.key == Example.grant(Example.client4))
                #expect(first.timeout == .seconds(3600))
                #expect(first.expiresIn > .seconds(3590) && first.expiresIn <= .seconds(3600))
                #expect(first.comment == "nfs of 192.0.2.7")
                let second = try #require(contents.granted.first { !$0.key.client.isIPv4 })
                #expect(second.key == Example.grant(Example.client6, Example.mountd))
                #expect(second.timeout == .seconds(60))
                #expect(second.comment == "")
                let remembered = try #require(contents.remembered.first { $0.key.client.isIPv4 })
                #expect(remembered.key == Example.grant(Example.client4))
                #expect(remembered.timeout == .seconds(7200))
                #expect(remembered.expiresIn > .seconds(7190) && remembered.expiresIn <= .seconds(7200))
                #expect(remembered.comment == "nfs of 192.0.2.7")
                #expect(contents.remembered.map(\.key).contains(Example.grant(Example.client6, Example.mountd)))
            }
        }

        @Test("reads the timeout of an element that has the set's own")
        func readsTheDefaultTimeout() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(keep: .seconds(7200)))
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key, timeout: .seconds(7200))) == nil)
                #expect(shell("nft add element inet rpcwarden granted4 '{ 192.0.2.8 . tcp . 2049 }'").status == 0)
                #expect(try table.contents().granted.map(\.timeout) == [.seconds(7200), .seconds(7200)])
            }
        }

        @Test("issues anew: the timeout starts again, the comment is the last one")
        func reissues() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key, timeout: .seconds(60), comment: "first")) == nil)
                #expect(table.commit(Example.issue(key, timeout: .seconds(900), comment: "second")) == nil)
                let granted = try #require(try table.contents().granted.first)
                #expect(granted.timeout == .seconds(900))
                #expect(granted.expiresIn > .seconds(890))
                #expect(granted.comment == "second")
                #expect(try table.grants() == [key])
            }
        }

        @Test("settling leaves alone what was issued after it was revoked")
        func settles() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let keys = (1...3).map { Example.grant(.v4($0)) }
                #expect(table.commit(keys.map { .revoke($0) }) == nil)
                #expect(
                    table.commit(Example.issue(keys[0]), .issueNew(keys[1], timeout: .seconds(9), comment: "")) == nil)
                // Added by another program, as a packet does it.
                #expect(shell("nft add element inet rpcwarden granted4 '{ 0.0.0.3 . tcp . 2049 }'").status == 0)
                #expect(table.settle() == nil)
                #expect(try table.grants() == [keys[0], keys[1]])
                #expect(table.settle() == nil)
                #expect(shell("nft add element inet rpcwarden granted4 '{ 0.0.0.3 . tcp . 2049 }'").status == 0)
                #expect(table.settle() == nil && table.settle() == nil)
                #expect(try table.grants() == keys)
                #expect(table.commit(.revoke(keys[0])) == nil)
                #expect(shell("nft delete table inet rpcwarden").status == 0)
                #expect(table.settle() == nil)
            }
        }

        @Test("a revoked grant that can't be checked is checked again")
        func settlesLater() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(.v4(3))
                #expect(table.commit(.revoke(key)) == nil)
                // Added by another program, as a packet does it.
                #expect(shell("nft add element inet rpcwarden granted4 '{ 0.0.0.3 . tcp . 2049 }'").status == 0)
                let failure = withoutNetAdmin { table.settle() }
                #expect(failure?.errno == EPERM)
                #expect(try table.grants() == [key])
                #expect(table.settle() == nil)
                #expect(try table.grants() == [])
            }
        }

        @Test("issues as new what is new, and what isn't all the same")
        func issuesNew() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let keys = (1...3).map { Example.grant(.v4($0)) }
                func new(_ key: GrantKey, _ comment: String) -> Operation {
                    .issueNew(key, timeout: .seconds(900), comment: comment)
                }
                #expect(table.commit(Example.issue(keys[0], timeout: .seconds(60), comment: "old")) == nil)
                // One that exists and two that don't, one of these twice.
                #expect(
                    table.commit(
                        .revoke(keys[2]), new(keys[0], "a"), new(keys[1], "b"), .guardPort(Example.nfs),
                        new(keys[2], "c"), new(keys[2], "d")) == nil)
                let granted = try table.contents().granted.sorted { $0.key < $1.key }
                #expect(granted.map(\.key) == keys)
                #expect(granted.map(\.comment) == ["a", "b", "d"])
                #expect(granted.allSatisfy { $0.timeout == .seconds(900) && $0.expiresIn > .seconds(890) })
                #expect(try table.contents().guarded == [Example.nfs])
                #expect(table.commit(.makeTable(TableShape(grantsMax: 1)), new(keys[0], "a"), new(keys[0], "b")) == nil)
                #expect(try table.contents().granted.map(\.comment) == ["b"])
                #expect(table.commit(new(keys[1], "c"))?.kind == .full)
            }
        }

        @Test("remembers anew: the timeout starts again, the comment is the last one; apart from the grant")
        func remembersAnew() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 1))
                let key = Example.grant(Example.client4)
                #expect(table.commit(.remember(key, timeout: .seconds(60), comment: "first")) == nil)
                #expect(
                    table.commit(.remember(key, timeout: .seconds(900), comment: "second"), Example.issue(key)) == nil)
                let remembered = try table.contents().remembered
                #expect(remembered.map(\.timeout) == [.seconds(900)])
                #expect(remembered.map(\.comment) == ["second"])
                #expect(
                    table.commit(.remember(Example.grant(.v4(1)), timeout: .seconds(9), comment: ""))?.errno == ENFILE)
                #expect(table.commit(.forget(Example.grant(.v4(1))), .revoke(key)) == nil)
                #expect(try table.contents().remembered.map(\.key) == [key])
                #expect(table.commit(.forget(key), .forget(key)) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("adopts an element for what is left of its life, never for longer than its timeout")
        func adopts() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                let other = Example.grant(Example.client6)
                let failure = table.commit(
                    Example.issue(key, timeout: .seconds(3600), expiresIn: .seconds(100)),
                    Example.issue(other, timeout: .seconds(60), expiresIn: .seconds(100)))
                #expect(failure == nil)
                for granted in try table.contents().granted {
                    #expect(granted.timeout == (granted.key == key ? .seconds(3600) : .seconds(60)))
                    #expect(granted.expiresIn <= (granted.key == key ? .seconds(100) : .seconds(60)))
                }
            }
        }

        @Test(
            "never makes an element that outlives its timeout, however odd the timeout",
            arguments: [Duration.zero, .seconds(-5), .seconds(Int64.min), .nanoseconds(1), .seconds(Int64.max)])
        func oddTimeouts(timeout: Duration) throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                #expect(
                    table.commit(Example.issue(key, timeout: timeout), .quarantine(Example.client4, timeout: timeout))
                        == nil)
                if timeout > .seconds(1) {
                    #expect(try table.contents().granted.first?.timeout == .seconds(100 * 365 * 86_400))
                } else {
                    usleep(20_000)
                    #expect(try table.contents() == TableContents())
                }
            }
        }

        @Test("revokes an element that has already expired")
        func revokesTheExpired() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key, timeout: .milliseconds(1))) == nil)
                usleep(20_000)
                #expect(try table.grants() == [])
                #expect(table.commit(.revoke(key)) == nil)
                #expect(table.commit(Example.issue(key)) == nil)
                #expect(try table.grants() == [key])
            }
        }

        @Test("guards, stands and quarantines twice as once")
        func isIdempotent() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(Example.operations) == nil)
                let before = try table.contents()
                #expect(table.commit(Example.operations) == nil)
                let after = try table.contents()
                #expect(before.standing == after.standing && before.guarded == after.guarded)
                #expect(after.quarantined.count == 2 && after.granted.count == 2)
            }
        }

        @Test("does the same key's operations in their order")
        func keepsTheOrder() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                #expect(
                    table.commit(
                        Example.issue(key), .revoke(key), Example.issue(key, comment: "last"), Example.issue(key))
                        == nil)
                #expect(try table.grants() == [key])
                #expect(table.commit(Example.issue(key), .revoke(key)) == nil)
                #expect(try table.grants() == [])
            }
        }

        @Test("cuts a comment between characters, and leaves out what nft could not read back")
        func cutsComments() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key, comment: String(repeating: "a", count: 126) + "é")) == nil)
                #expect(try table.contents().granted.first?.comment == String(repeating: "a", count: 126))
                #expect(table.commit(Example.issue(key, comment: "say \"no\"\n\u{0}!")) == nil)
                #expect(try table.contents().granted.first?.comment == "say ?no???!")
            }
        }

        @Test("makes the table anew in place of the old one, with elements, in one transaction")
        func remakes() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(Example.operations) == nil)
                let key = Example.grant(.v4(5))
                #expect(table.commit(.makeTable(TableShape(observes: true)), Example.issue(key)) == nil)
                #expect(try table.grants() == [key])
                #expect(try table.contents().guarded == [])
            }
        }

        @Test("deletes the table, present or not")
        func deletesTable() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(try table.contents(of: "rpcwarden") != nil)
                #expect(table.commit(.deleteTable(name: "rpcwarden")) == nil)
                #expect(try table.contents(of: "rpcwarden") == nil)
                #expect(table.commit(.deleteTable(name: "rpcwarden")) == nil)
            }
        }

        @Test("deletes the table that it is told, and makes another, in one transaction")
        func renames() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let renamed = Transaction(
                    table: "warden2",
                    operations: [
                        .deleteTable(name: "rpcwarden"), .makeTable(TableShape(name: "warden2")),
                        .guardPort(Example.nfs),
                    ])
                #expect(table.commit(renamed) == nil)
                #expect(try table.contents(of: "rpcwarden") == nil)
                #expect(try table.contents(of: "warden2")?.guarded == [Example.nfs])
            }
        }

        @Test("issues a key twice in the transaction that makes the table: the last one counts")
        func issuesTwiceAnew() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                let key = Example.grant(Example.client4)
                #expect(
                    table.commit(
                        .makeTable(TableShape()), Example.issue(key, timeout: .seconds(60), comment: "first"),
                        Example.issue(key, timeout: .seconds(900), comment: "second")) == nil)
                #expect(try table.contents().granted.map(\.comment) == ["second"])
            }
        }

        @Test("counts nothing at first, and half of what look-up and renewal counted afterwards")
        func counts() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key)) == nil)
                #expect(try table.contents().granted.first?.packets == 0)
                let add = shell(
                    "nft add element inet rpcwarden granted4 '{ 192.0.2.8 . tcp . 2049 counter packets 14 bytes 8400 timeout 1h }'"
                )
                #expect(add.status == 0, "\(add.text)")
                let counted = try table.contents().granted.first { $0.key.client == .v4(0xc000_0208) }
                #expect(counted?.packets == 7)
                #expect(counted?.bytes == 4200)
            }
        }
    }
}

extension Example {
    static let standingKeys = Set(
        operations.compactMap { operation -> StandingKey? in
            guard case .addStanding(let key) = operation else { return nil }
            return key
        })
}

extension Operation {
    /// The operation that undoes this one.
    var undoing: Operation {
        switch self {
        case .makeTable(let shape), .adoptTable(let shape): .deleteTable(name: shape.name)
        case .guardPort(let service): .unguardPort(service)
        case .issue(let key, _, _, _), .issueNew(let key, _, _): .revoke(key)
        case .remember(let key, _, _): .forget(key)
        case .addStanding(let key): .removeStanding(key)
        case .quarantine(let client, _): .release(client)
        // It ends by itself.
        case .shield(let transport, _): .shield(transport, timeout: .milliseconds(1))
        case .addCallers(let key): .removeCallers(key)
        case .deleteTable, .unguardPort, .revoke, .forget, .removeStanding, .removeCallers, .replaceStanding, .release,
            .unshield:
            self
        }
    }
}
