import Addresses
import BundleSamples
import Configuration
import Firewall
import Glibc
import Netfilter
import PolicyFile
import Privilege
import Testing

@testable import Daemon
@testable import Sandbox

extension KernelTests {
    /// The netfilter process's own loop against the kernel, on a thread; the privileges that the process drops are
    /// tested by the lab.
    @Suite struct NetfilterProcessTests {
        static let policy =
            "rules: [{name: a, from: [192.0.2.0/24], to: [nfs, nlockmgr, status], open: always}]"
        private static let inPolicy = Example.grant(Example.client4)
        private static let outside = Example.grant(.v4(0x0808_0808))

        /// A folder with a configuration and a policy.
        final class Files {
            let folder = "/tmp/netfilter-process.\(getpid())"
            var configuration: String { folder + "/rpcwarden.yaml" }
            var policyPath: String { folder + "/policy.yaml" }

            init(_ settings: String = "", policy: String = policy) throws {
                _ = shell("rm -rf \(folder); mkdir \(folder)")
                try write(settings, policy: policy)
            }

            deinit { _ = shell("rm -rf \(folder)") }

            func write(_ settings: String = "", policy: String = policy) throws {
                for (name, text) in [
                    ("rpcwarden", "policy: policy.yaml\naudit: {to: stderr}\n\(settings)\n"), ("policy", policy + "\n"),
                ] {
                    let file = try #require(fopen("\(folder)/\(name).yaml", "w"))
                    fputs(text, file)
                    fclose(file)
                }
            }

            func write(_ bytes: [UInt8], to name: String) throws {
                let file = try #require(fopen("\(folder)/\(name)", "w"))
                fwrite(bytes, 1, bytes.count, file)
                fclose(file)
            }

            func load() -> LoadResult { PolicyLoader().load(configurationPath: configuration) }
        }

        final class Running {
            let channel: Channel
            let files: Files

            /// Whether the thread may do only the system calls of the netfilter process.
            let isConfined: Bool

            private init(_ channel: Channel, _ files: Files, _ isConfined: Bool) {
                (self.channel, self.files, self.isConfined) = (channel, files, isConfined)
            }

            private func run() {
                defer { channel.close() }
                let load = files.load()
                do {
                    let process = try NetfilterProcess(load, configuration: files.configuration, channel)
                    if isConfined, try !Privileges.onlyNetfilterCalls() { return }
                    try process.serve()
                } catch {}
            }

            /// Starts the loop on a thread, in the caller's network namespace.
            static func start(_ channel: Channel, _ files: Files, isConfined: Bool = false) -> pthread_t {
                var thread = pthread_t()
                let this = Unmanaged.passRetained(Running(channel, files, isConfined)).toOpaque()
                pthread_create(
                    &thread, nil,
                    {
                        if let this = $0 { Unmanaged<Running>.fromOpaque(this).takeRetainedValue().run() }
                        return nil
                    }, this)
                return thread
            }
        }

        /// Runs `body` in a fresh network namespace, which the loop's thread inherits.
        func withProcess(
            _ files: Files, isConfined: Bool = false, _ body: (NetfilterClient, Channel) throws -> Void
        ) throws {
            try inFreshNamespace {
                let ends = try Channel.pair(messageBytesMax: MessageLimits.messageBytesMax, waitMax: .seconds(10))
                let thread = Running.start(ends.second, files, isConfined: isConfined)
                defer {
                    ends.first.close()
                    pthread_join(thread, nil)
                }
                try body(try NetfilterClient(ends.first), ends.first)
            }
        }

        private func transaction(_ operations: Operation...) -> Transaction {
            Transaction(table: "rpcwarden", operations: operations)
        }

        private func shape(_ files: Files, _ client: NetfilterClient) -> TableShape {
            files.load().settings.fitted(to: client.features).tableShape
        }

        @Test("does what policy permits, and tells of it; refuses what it doesn't, and does none of the transaction")
        func ceiling() throws {
            let files = try Files("firewall: {own-table: false}")
            try withProcess(files) { client, _ in
                #expect(try client.contents() == nil)
                #expect(client.commit(transaction(.makeTable(shape(files, client)), .guardPort(Example.nfs))) == nil)
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) == nil)
                #expect(try client.lifetimes(of: [Self.inPolicy, Self.outside]).keys.sorted() == [Self.inPolicy])
                let refusal = client.commit(transaction(.revoke(Self.inPolicy), Example.issue(Self.outside)))
                #expect(refusal?.operation == 1 && refusal?.errno == EPERM)
                #expect(refusal?.message.hasPrefix("refused by the netfilter process: no rule") == true)
                #expect(client.commit(transaction(.guardPort(ServicePort(.tcp, 22))))?.operation == 0)
                #expect(client.commit(Transaction(table: "other", operations: [.guardPort(Example.nfs)])) != nil)
                #expect(throws: NetfilterClient.Failure.self) {
                    try client.cut([ServicePort(.tcp, 22): [.allIPv4], Example.nfs: [.allIPv4]])
                }
                try client.cut([Example.nfs: [.allIPv4]])
                let contents = try #require(try client.contents())
                #expect(contents.granted.map(\.key) == [Self.inPolicy] && contents.guarded == [Example.nfs])
                #expect(try client.drops() == DropCounts())
                _ = shell("nft add element inet rpcwarden guarded { tcp . 99 }")
                let added = TableChange.What.elementAdded(.guarded(ServicePort(.tcp, 99)))
                #expect(
                    try #require(client.readEvents()).changes.contains {
                        if case .changed(let change) = $0 { change.what == added && !change.isOwn } else { false }
                    })
            }
        }

        @Test("of flows to many ports it cuts those that it may, and tells of the others")
        func cutsPermitted() throws {
            let files = try Files("firewall: {own-table: false}")
            try withProcess(files) { client, _ in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                let ports = [UInt16(22), 4000, 4001]
                let sockets = try ports.map { try TestSocket(connectedTo: ServicePort(.udp, $0), "127.0.0.2") }
                for socket in sockets { socket.send(1) }
                let cuts = [22, 111, 4000].map { (ServicePort(.udp, $0), Set([AddressRange.allIPv4])) }
                let failure = #expect(throws: NetfilterClient.Failure.self) {
                    try client.cut(Dictionary(uniqueKeysWithValues: cuts))
                }
                #expect(
                    failure?.description
                        == "refused by the netfilter process: udp/22 is in firewall.never, and 1 more")
                let flows = try Flows()
                let left = try ports.map { try flows.cut(client: .v4(0x7f00_0001), service: ServicePort(.udp, $0)) }
                #expect(left == [1, 0, 1])
                withExtendedLifetime(sockets) {}
            }
        }

        @Test("serves the servers behind this gateway, as the policy for each permits")
        func gateway() throws {
            let files = try Files(
                "firewall: {own-table: false}\ngateway: {servers: [{name: filer, address: [10.91.2.2]}]}",
                policy: "rules: [{name: a, from: [192.0.2.0/24], at: [filer], to: [nfs, nlockmgr, status]}]")
            try withProcess(files) { client, _ in
                let (service, server) = (Example.nfs(1), ServerID(rawValue: 1))
                let key = Example.grant(Example.client4, service)
                let callers = CallersKey(server: server, clients: AddressRange(key.client, key.client))
                #expect(
                    client.commit(
                        transaction(
                            .makeTable(shape(files, client)), .guardPort(service), Example.issue(key),
                            .addCallers(callers))) == nil)
                #expect(
                    client.commit(transaction(Example.issue(Self.inPolicy)))?.errno == EPERM, "no rule is about here")
                #expect(try client.lifetimes(of: [key, Self.inPolicy]).keys.sorted() == [key])
                let contents = try #require(try client.contents())
                #expect(contents.granted.map(\.key) == [key] && contents.guarded == [service])
                #expect(contents.callers == [callers])
                try client.cut([service: [.allIPv4]])
                _ = shell("nft delete element inet rpcwarden guarded_at4 { 10.91.2.2 . tcp . 2049 }")
                #expect(
                    try #require(client.readEvents()).changes.contains {
                        guard case .changed(let change) = $0 else { return false }
                        return change.what == .elementDeleted(.guarded(service)) && !change.isOwn
                    })
            }
        }

        @Test(
            "a comment that nft would print as commands is refused; what it prints of others makes the same table again"
        )
        func comments() throws {
            let files = try Files("firewall: {own-table: false}")
            try withProcess(files) { client, _ in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                let crafted = "\" }\n}\n}\ntable inet stolen { comment \""
                let printable = String((0x20...0x7e).map { Character(Unicode.Scalar(UInt8($0))) })
                    .filter { $0 != "\"" && $0 != "\\" }
                let other = Example.grant(.v4(0xc000_0207))
                for comment in [crafted, "é", "a\\", printable + String(repeating: "x", count: 128 - printable.count)] {
                    let refusal = client.commit(
                        transaction(
                            Example.issue(other, comment: "fine"), Example.issue(Self.inPolicy, comment: comment)))
                    #expect(refusal?.operation == 1 && refusal?.message.contains("comment") == true)
                    let remember = Operation.remember(Self.inPolicy, timeout: .seconds(60), comment: comment)
                    #expect(client.commit(transaction(remember)) != nil)
                }
                let before = try client.contents()?.granted
                #expect(before == [])
                #expect(client.commit(transaction(Example.issue(Self.inPolicy, comment: printable))) == nil)
                let file = files.folder + "/ruleset"
                let again = shell(
                    "nft list ruleset >\(file) && nft flush ruleset && nft -f \(file) && nft list tables")
                #expect(again.text == "table inet rpcwarden\n", "\(again)")
                let after = try client.contents()?.granted.map(\.comment)
                #expect(after == [printable])
            }
        }

        @Test("addresses of host names make room when the kernel has let their grants expire")
        func hostNames() throws {
            let files = try Files(policy: "rules: [{name: a, from: [server.example], to: [nfs]}]")
            try withProcess(files) { client, _ in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                let grants = (0..<64).map { Example.grant(.v4(0xc000_0200 + $0)) }
                let issues = grants.map { Operation.issueNew($0, timeout: .milliseconds(200), comment: "") }
                #expect(client.commit(Transaction(table: "rpcwarden", operations: issues)) == nil)
                let refusal = client.commit(transaction(Example.issue(Self.outside)))
                #expect(refusal?.kind == .full && refusal?.message.contains("64 addresses") == true)
                while try !client.lifetimes(of: grants).isEmpty { usleep(10_000) }
                #expect(client.commit(transaction(Example.issue(Self.outside))) == nil)
            }
        }

        /// Has the process read the files and apply them.
        private func reload(_ client: NetfilterClient) throws {
            try client.reload()
            var reading: FilesRead?
            while reading == nil, client.loss == nil { reading = client.readEvents()?.reading }
            try client.enforce()
        }

        @Test("reads the files anew when told to, and believes nothing but the files")
        func reload() throws {
            let files = try Files()
            try withProcess(files) { client, _ in
                let made = client.commit(transaction(.makeTable(shape(files, client))))
                #expect(made == nil)
                let issue = transaction(Example.issue(Self.outside))
                try reload(client)
                #expect(client.commit(issue) != nil, "nothing has changed")
                try files.write(policy: "rules: [{name: b, from: [8.8.8.8], to: [mountd]}]")
                #expect(client.commit(issue) != nil, "not read yet")
                #expect(throws: NetfilterClient.Failure.self, "there is nothing to judge by") { try client.enforce() }
                try reload(client)
                #expect(client.commit(issue) == nil)
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) != nil, "no longer")

                try files.write(policy: "rules: [{name: b, from: [0.0.0.0/0], to: [mountdd]}]")
                #expect(throws: NetfilterClient.Failure.self) { try reload(client) }
                #expect(throws: NetfilterClient.Failure.self) { try client.enforce() }
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) != nil)
                #expect(client.commit(issue) == nil, "the old policy stays in force")
            }
        }

        @Test("takes a fleet's policy only from its publisher, and none that is older than the one in force")
        func fleetPolicy() throws {
            let files = try Files()
            let fleet = "fleet: {policy: {group: nfs, bundle: b, keys: k, ceiling: c.yaml, mode: replace}}"
            func write(_ clients: String, serial: UInt64, _ change: ([UInt8]) -> [UInt8] = { $0 }) throws {
                let rules = "rules: [{name: b, from: [\(clients)], to: [mountd]}]"
                try files.write(change(try BundleSamples.signed(["a.yaml": rules], serial: serial)), to: "b")
            }
            try files.write(Array(BundleSamples.publicKey.utf8), to: "k")
            try files.write(Array("rules: [{name: c, from: [8.8.0.0/16], to: [mountd]}]".utf8), to: "c.yaml")
            try files.write(fleet)
            try write("8.8.8.0/24", serial: 42)
            try withProcess(files) { client, _ in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                let issue = transaction(Example.issue(Self.outside))
                let other = transaction(Example.issue(Example.grant(.v4(0x0808_0909))))
                #expect(client.commit(issue) == nil)
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) != nil)
                #expect(client.commit(other) != nil)

                let refused: [() throws -> Void] = [
                    { try write("8.8.9.0/24", serial: 41) }, { try write("8.8.9.0/24", serial: 42) },
                    { try write("8.8.9.0/24, 9.9.9.9", serial: 43) },
                    { try write("8.8.9.0/24", serial: 43) { Array($0.dropLast()) } },
                    { try write("8.8.9.0/24", serial: 43) { Array($0.dropFirst(10)) } },
                ]
                for change in refused {
                    try change()
                    #expect(throws: NetfilterClient.Failure.self) { try reload(client) }
                    #expect(client.commit(issue) == nil && client.commit(other) != nil, "the old policy stays in force")
                }
                try write("8.8.9.0/24", serial: 43)
                try reload(client)
                #expect(client.commit(issue) != nil && client.commit(other) == nil)
            }
        }

        @Test("puts no policy in force that it read while a newer one was put in force")
        func fleetPolicyOvertaken() throws {
            let files = try Files()
            func publish(serial: UInt64) throws {
                let rules = "rules: [{name: f, from: [8.8.8.8], to: [mountd]}]"
                try files.write(try BundleSamples.signed(["a.yaml": rules], serial: serial), to: "b")
            }
            let hanging = try HangingFolder(in: files.folder)
            /// The reading waits for the policy; then it reads the bundle.
            func feed(_ name: String, next: String, _ meanwhile: () throws -> Void) throws {
                #expect(hanging.line() == "waits \(name)")
                try meanwhile()
                #expect(unlink(files.policyPath) == 0 && symlink(hanging.path(next), files.policyPath) == 0)
                try files.write(Array(Self.policy.utf8), to: name)
            }
            try files.write(Array(BundleSamples.publicKey.utf8), to: "k")
            try files.write("fleet: {policy: {group: nfs, bundle: b, keys: k}}")
            try publish(serial: 42)
            try withProcess(files) { client, _ in
                func awaitReading() {
                    while client.loss == nil, client.readEvents()?.reading == nil {}
                }
                #expect(unlink(files.policyPath) == 0 && symlink(hanging.path("one"), files.policyPath) == 0)
                // The second reading is requested before the first is in force.
                try client.reload()
                try feed("one", next: "two") {
                    try client.reload()
                    try publish(serial: 44)
                }
                awaitReading()
                try client.enforce()
                try feed("two", next: "three") { try publish(serial: 43) }
                awaitReading()
                #expect(throws: NetfilterClient.Failure.self) { try client.enforce() }
            }
        }

        @Test("does what it is asked while it reads, under the old ceiling until it is told to judge by the new one")
        func servesMeanwhile() throws {
            let files = try Files()
            try withProcess(files) { client, _ in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                let prefixes = (0..<20_000).map { "10.\($0 >> 8).\($0 & 255).0/24" }.joined(separator: ", ")
                try files.write(policy: "rules: [{name: many, from: [\(prefixes)], to: [nfs]}]")
                try client.reload()
                var reading: FilesRead?
                var commits = 0
                while reading == nil, client.loss == nil {
                    #expect(client.commit(transaction(Example.issue(Self.inPolicy))) == nil)
                    commits += 1
                    reading = client.readEvents()?.reading
                }
                #expect(commits > 5)
                #expect(reading == files.load().answers, "the very bytes")
                #expect(try #require(client.readEvents()).reading == nil, "told once")
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) == nil, "still the old one")
                try client.enforce()
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) != nil)
                #expect(client.commit(transaction(Example.issue(Example.grant(.v4(0x0a01_0203))))) == nil)
            }
        }

        @Test("a file whose reading hangs keeps nobody waiting, and counts once it has ended")
        func hangingFile() throws {
            let files = try Files()
            let hanging = try HangingFolder(in: files.folder)
            try withProcess(files) { client, _ in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                #expect(unlink(files.policyPath) == 0 && symlink(hanging.path("one"), files.policyPath) == 0)
                try client.reload()
                #expect(hanging.line() == "waits one")
                for _ in 0..<20 {
                    #expect(client.commit(transaction(Example.issue(Self.inPolicy))) == nil)
                    #expect(try #require(client.readEvents()).reading == nil)
                }
                // More than a pipe holds: requests that wait are one.
                for _ in 0..<70_000 { try client.reload() }
                let text = "rules: [{name: b, from: [8.8.8.8], to: [mountd]}]"
                // The next reading finds another file.
                #expect(unlink(files.policyPath) == 0)
                try files.write(policy: text)
                try files.write(Array(text.utf8), to: "one")
                var reading: FilesRead?
                while reading == nil, client.loss == nil { reading = client.readEvents()?.reading }
                try client.enforce()
                #expect(client.commit(transaction(Example.issue(Self.outside))) == nil)
                #expect(client.commit(transaction(Example.issue(Self.inPolicy))) != nil)
            }
        }

        @Test("tells of the end of what takes long, before and after which nothing else is done")
        func begun() throws {
            let files = try Files()
            try withProcess(files) { client, channel in
                #expect(client.commit(transaction(.makeTable(shape(files, client)))) == nil)
                client.begin(transaction(Example.issue(Self.inPolicy)))
                #expect(client.commit(transaction(.revoke(Self.inPolicy))) == nil)
                let outcome = try #require(client.takeOutcome())
                #expect(outcome.failure == nil && client.takeOutcome() == nil)
                #expect(try client.contents()?.granted == [], "one after the other")

                client.begin(transaction(Example.issue(Self.outside)))
                while !channel.isReadable { usleep(1000) }
                #expect(client.takeOutcome()?.failure?.errno == EPERM)

                try channel.send([9, 9, 9, 9])
                client.begin(transaction(Example.issue(Self.inPolicy)))
                while !channel.isReadable { usleep(1000) }
                #expect(
                    client.takeOutcome()?.failure?.message.hasPrefix("the channel to the netfilter process failed")
                        == true)
                client.begin(transaction(Example.issue(Self.inPolicy)))
                #expect(client.takeOutcome()?.failure != nil && client.takeOutcome() == nil)
            }
        }

        @Test("takes another table or log group at a reload from nobody, also not from the files")
        func liveSettings() throws {
            let files = try Files()
            try withProcess(files) { client, _ in
                let before = shape(files, client)
                try files.write("mode: observe\nfirewall: {table: other, log-group: 7, keep: 2d}")
                try reload(client)
                var after = before
                after.observes = true
                after.keep = .seconds(2 * 86_400)
                #expect(client.commit(transaction(.makeTable(before))) != nil)
                #expect(client.commit(transaction(.makeTable(after))) == nil)
            }
        }

        @Test("puts back what an earlier run left, which policy no longer permits, until it is revoked")
        func inherited() throws {
            let files = try Files(policy: "rules: [{name: b, from: [8.8.8.8], to: [mountd]}]")
            try withProcess(files) { client, channel in
                let table = shape(files, client)
                #expect(client.commit(transaction(.makeTable(table), Example.issue(Self.outside))) == nil)
                try files.write()
                // The previous process has ended: its socket was closed, and its table has no owner.
                let nowhere = open("/dev/null", O_WRONLY)
                dup2(nowhere, channel.output)
                close(nowhere)
                let ends = try Channel.pair(messageBytesMax: MessageLimits.messageBytesMax, waitMax: .seconds(10))
                let thread = Running.start(ends.second, files)
                let next = try NetfilterClient(ends.first)
                #expect(next.commit(transaction(Example.issue(Self.outside))) != nil, "it hasn't been looked at yet")
                #expect(try next.contents()?.granted.map(\.key) == [Self.outside])
                #expect(next.commit(transaction(.makeTable(table), Example.issue(Self.outside))) == nil)
                #expect(next.commit(transaction(Example.issue(Example.grant(.v4(0x0808_0809))))) != nil)
                ends.first.close()
                pthread_join(thread, nil)
            }
        }

        @Test(
            "leaves what an earlier run granted where it is, unless its files permit no such grants any more",
            .enabled(if: NetfilterTable.countsElements()),
            arguments: [("", true), ("firewall: {never: [2049]}", false), ("firewall: {keep: 30m}", false)])
        func keepsGrants(settings: String, stay: Bool) throws {
            let files = try Files(settings)
            try inFreshNamespace {
                var earlier: NetfilterTable? = try .made(TableShape.owned)
                let key = Example.grant(Example.client4, Example.nfs)
                #expect(earlier?.commit(Example.issue(key, comment: "kept")) == nil)
                earlier = nil
                let ends = try Channel.pair(messageBytesMax: MessageLimits.messageBytesMax, waitMax: .seconds(10))
                let thread = Running.start(ends.second, files)
                defer {
                    ends.first.close()
                    pthread_join(thread, nil)
                }
                let client = try NetfilterClient(ends.first)
                #expect(client.commit(transaction(.adoptTable(shape(files, client)))) != nil, "nobody has looked")
                #expect(try client.contents()?.grantsMayBeKept == stay)
                let failure = client.commit(transaction(.adoptTable(shape(files, client))))
                #expect((failure == nil) == stay, "\(failure as Any)")
                #expect(try client.contents()?.granted.map(\.comment) == ["kept"])
                #expect(try client.contents()?.grantsMayBeKept == false, "but once")
            }
        }

        @Test("waits for an earlier one that is ending, and takes its table and log group over")
        func predecessor() throws {
            let files = try Files()
            try inFreshNamespace {
                var shape = TableShape()
                shape.isOwned = NetfilterTable.supportsOwnedTables
                var earlier: NetfilterTable? = try NetfilterTable.made(shape)
                var earlierLog: DropLog? = try DropLog(group: 1111)
                let ends = try Channel.pair(messageBytesMax: MessageLimits.messageBytesMax, waitMax: .seconds(10))
                let thread = Running.start(ends.second, files)
                defer {
                    ends.first.close()
                    pthread_join(thread, nil)
                }
                var readable = pollfd(fd: ends.first.input, events: Int16(POLLIN), revents: 0)
                #expect(poll(&readable, 1, 200) == 0, "not ready")
                (earlier, earlierLog) = (nil, nil)
                let client = try NetfilterClient(ends.first)
                #expect(client.features.logsDrops)
                #expect(client.commit(transaction(.guardPort(Example.nfs))) == nil)
                withExtendedLifetime((earlier, earlierLog)) {}
            }
        }

        @Test("ends when it is told something that it doesn't understand, and the other side knows")
        func nonsense() throws {
            let files = try Files()
            try withProcess(files) { client, channel in
                try channel.send([9, 9, 9, 9])
                #expect(throws: Channel.Failure.ended) { try channel.receive() }
                var losses = 0
                client.lost = { losses += 1 }
                let failure = client.commit(transaction(.guardPort(Example.nfs)))
                #expect(failure?.message.hasPrefix("the channel to the netfilter process failed") == true)
                #expect(client.commit(transaction(.guardPort(Example.nfs))) == failure)
                #expect(client.readEvents() == nil && client.loss != nil && losses == 1)
                #expect(throws: NetfilterClient.Failure.self) { try client.contents() }
            }
        }

        /// `NETFILTER_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter measuresSplit`.
        @Test("measures what the split costs", .enabled(if: getenv("NETFILTER_MEASURE") != nil))
        func measuresSplit() throws {
            let files = try Files(
                "firewall: {own-table: false}",
                policy: "rules: [{name: a, from: [0.0.0.0/0], to: [mountd]}]")
            try inFreshNamespace {
                let child = try NetfilterProcess.start(files.load(), configuration: files.configuration)
                let client = try NetfilterClient(child.channel)
                let direct = try NetfilterTable()
                #expect(client.commit(transaction(.makeTable(shape(files, client)), .guardPort(Example.nfs))) == nil)
                let clock = ContinuousClock()
                var times: [String: [Duration]] = [:]
                var next: UInt32 = 1 << 24
                let comment = "100003 since 2026-11-21T11:40:03Z by policy.yaml:14 'workstations mount NFSv3'"
                for _ in 0..<20_000 {
                    for (name, commit) in [
                        ("direct", { direct.commit($0) }), ("split", { client.commit($0) }),
                    ] as [(String, (Transaction) -> CommitFailure?)] {
                        next += 1
                        let issue = transaction(
                            .issueNew(
                                Example.grant(.v4(next)), timeout: .seconds(3600),
                                comment: comment))
                        let revoke = transaction(.revoke(Example.grant(.v4(next))))
                        times[name + " issue", default: []].append(clock.measure { _ = commit(issue) })
                        times[name + " revoke", default: []].append(clock.measure { _ = commit(revoke) })
                    }
                    times["split events", default: []].append(clock.measure { _ = client.readEvents() })
                }
                let shape = shape(files, client)
                let many =
                    [.makeTable(shape)] + (1...65_536).map { Example.issue(Example.grant(.v4($0)), comment: comment) }
                for _ in 0..<5 {
                    for (name, commit) in [
                        ("direct", { direct.commit($0) }), ("split", { client.commit($0) }),
                    ] as [(String, (Transaction) -> CommitFailure?)] {
                        let transaction = Transaction(table: "rpcwarden", operations: many)
                        times[name + " table of 65,536 grants", default: []]
                            .append(clock.measure { #expect(commit(transaction) == nil) })
                    }
                    for (name, contents) in [
                        ("direct", { try direct.contents() }), ("split", { try client.contents() }),
                    ] as [(String, () throws -> TableContents?)] {
                        var count: Int?
                        let time = try clock.measure { count = try contents()?.granted.count }
                        #expect(count == 65_536)
                        times[name + " contents of 65,536 grants", default: []].append(time)
                    }
                }
                for (name, each) in times.sorted(by: { $0.key < $1.key }) {
                    let sorted = each.sorted()
                    print(
                        "MEASURED \(name): median \(sorted[sorted.count / 2]), p99 \(sorted[sorted.count * 99 / 100])")
                }
                client.close()
                child.awaitEnd()
            }
        }
    }
}
