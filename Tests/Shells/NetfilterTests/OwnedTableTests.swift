import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension NetfilterTable {
    /// What the trial says here, where it can be made.
    static let supportsOwnedTables: Bool = {
        do {
            return try inFreshNamespace { try NetfilterTable().tryOwnedTables() == .supported }
        } catch {
            return false
        }
    }()
}

extension KernelTests {
    @Suite struct OwnedTableTrials {
        @Test("says what making such a table shows")
        func agrees() throws {
            let isMade = try inFreshNamespace { try NetfilterTable().commit(.makeTable(.owned)) == nil }
            let told = try inFreshNamespace { try NetfilterTable().tryOwnedTables() }
            #expect(told == (isMade ? .supported : .unsupported))
        }

        @Test("leaves no table and makes no news, also beside a table, and also when the kernel refuses")
        func leavesNothing() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let monitor = try TableMonitor(table: "rpcwarden_trial", ownPortID: 0)
                let before = shell("nft list tables").text
                _ = table.tryOwnedTables()
                _ = table.refusal(ofTableWith: 8)
                #expect(before == "table inet rpcwarden\n")
                #expect(shell("nft list tables").text == before)
                #expect(monitor.readEvents().isEmpty)
                #expect(shell("nft add table inet rpcwarden_trial").status == 0)
                #expect(!monitor.readEvents().isEmpty, "the monitor sees what happens")
            }
        }

        @Test("a refusal is believed, and what isn't about the flags proves nothing")
        func refusals() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                // No kernel has a table flag with this number yet; one without `persist` refuses that in the same way.
                let refusal = try #require(table.refusal(ofTableWith: 0x4000_0000))
                #expect(refusal.errno == EOPNOTSUPP || refusal.errno == EINVAL)
                #expect(Firewall.OwnedTables(trial: refusal) == .unsupported)
                #expect(table.commit(.guardPort(Example.nfs))?.errno == ENOENT, "the socket is in step")
                #expect(shell("nft add table inet rpcwarden_trial").status == 0)
                guard case .unknown(let failure) = table.tryOwnedTables() else {
                    Issue.record("a table of that name exists")
                    return
                }
                #expect(failure.errno == EEXIST)
            }
        }
    }

    @Suite(.enabled(if: NetfilterTable.supportsOwnedTables))
    struct OwnedTables {
        private let shape = TableShape.owned

        @Test("keeps an owned table from everybody else, and from nft flush ruleset")
        func keepsOthersOut() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(shape)
                #expect(table.commit(Example.operations) == nil)
                #expect(shell("nft flush ruleset").status == 0)
                for command in ["delete table inet rpcwarden", "add element inet rpcwarden guarded '{ tcp . 22 }'"] {
                    #expect(shell("nft " + command).text.contains("Operation not permitted"))
                }
                let other = try NetfilterTable()
                let text =
                    "Operation not permitted: table inet rpcwarden belongs to another process (netlink port \(table.portID),"
                    + " as a rule its process id), perhaps another rpcwarden, which alone may change it until it ends"
                let refused = CommitFailure(errno: EPERM, message: text, operation: 0)
                #expect(refused.errno == EPERM)
                #expect(other.commit(.guardPort(Example.nfs)) == refused)
                #expect(other.commit(.makeTable(TableShape())) == refused)
                #expect(other.commit(.makeTable(shape)) == refused)
                let elsewhere = Transaction(table: "elsewhere", operations: [.deleteTable(name: "rpcwarden")])
                #expect(other.commit(elsewhere) == refused)
                #expect(try other.contents().granted.count == 2)
                #expect(table.commit(.makeTable(shape)) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("an owned table outlives its owner; then anyone may change it, until a new owner makes it anew")
        func outlives() throws {
            try inFreshNamespace {
                var table: NetfilterTable? = try .made(shape)
                #expect(table?.commit(Example.operations) == nil)
                table = nil
                let heir = try NetfilterTable()
                #expect(try heir.contents().granted.count == 2)
                #expect(shell("nft add element inet rpcwarden guarded '{ tcp . 22 }'").status == 0)
                #expect(
                    heir.commit(.unguardPort(ServicePort(.tcp, 22)), .makeTable(shape), .guardPort(Example.nfs)) == nil)
                #expect(shell("nft delete table inet rpcwarden").text.contains("Operation not permitted"))
                #expect(shell("nft flush ruleset").status == 0)
                #expect(try heir.contents().guarded == [Example.nfs])
            }
        }

        @Test("tells who owns the table: nobody, we, another, nobody any more")
        func tellsTheOwner() throws {
            try inFreshNamespace {
                let other = try NetfilterTable()
                #expect(try other.owner(of: "rpcwarden") == nil)
                #expect(other.commit(.makeTable(TableShape())) == nil)
                #expect(try other.owner(of: "rpcwarden") == nil)
                var table: NetfilterTable? = try .made(shape)
                #expect(try table?.owner(of: "rpcwarden") == table?.portID)
                #expect(try other.owner(of: "rpcwarden") == table?.portID)
                table = nil
                #expect(try other.owner(of: "rpcwarden") == nil)
            }
        }

        @Test(
            "takes the table over with its grants, and drops no packet of an approved client meanwhile",
            arguments: [TableShape(), TableShape.owned])
        func takesOver(found: TableShape) throws {
            try withClient { client in
                let service = ServicePort(.udp, 2049)
                let server = try TestSocket(service, "0.0.0.0")
                server.growReceiveBuffer()
                let key = Example.grant(Example.client4, service)
                let others = (1...2_000).map { Example.issue(Example.grant(.v4($0)), comment: "mountd") }
                var old: NetfilterTable? = try .made(found)
                #expect(
                    old?.commit([.guardPort(service), Example.issue(key, comment: "100003 3")] + others) == nil)
                old = nil

                let sender = try Sender(client.socket(to: service))
                for _ in 0..<20 {
                    // A new process each time; the next process finds the orphaned table.
                    let table = try NetfilterTable()
                    let contents = try table.contents()
                    #expect(contents.granted.count == 2_001)
                    let restored = contents.granted.map {
                        Operation.issue(
                            $0.key, timeout: $0.timeout, expiresIn: $0.expiresIn, comment: $0.comment)
                    }
                    let guarding = contents.guarded.map { Operation.guardPort($0) }
                    #expect(table.commit([.makeTable(shape)] + guarding + restored) == nil)
                    #expect(try table.owner(of: "rpcwarden") == table.portID)
                }
                let sent = sender.stop()
                #expect(sent > 1_000)
                #expect(server.receive(sent) == sent)
                #expect(try NetfilterTable().contents().granted.first { $0.key == key }?.comment == "100003 3")
            }
        }

        @Test("nft flush ruleset takes an owned table away once its owner is gone")
        func flushesTheOrphan() throws {
            try inFreshNamespace {
                var table: NetfilterTable? = try .made(shape)
                #expect(try table?.contents(of: "rpcwarden") != nil)
                table = nil
                #expect(shell("nft flush ruleset").status == 0)
                #expect(try NetfilterTable().contents(of: "rpcwarden") == nil)
            }
        }

        @Test("makes an owned table of one that isn't, and the other way round")
        func changesHands() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(.makeTable(shape)) == nil)
                #expect(shell("nft delete table inet rpcwarden").status != 0)
                #expect(table.commit(.makeTable(TableShape())) == nil)
                #expect(shell("nft delete table inet rpcwarden").status == 0)
            }
        }
    }
}

extension TableShape {
    static var owned: Self {
        var shape = Self()
        shape.isOwned = true
        return shape
    }
}
