import Addresses
import Clock
import Configuration
import CoreSamples
import Firewall
import Policy
import Testing

@testable import Gate

@Suite("the saved guard") struct SavedGuardTests {
    private static let boot = "0f3c2a1b-1111-4222-8333-0123456789ab"
    private static let nfs = ServicePort(.tcp, 2049)
    private static let mountd = ServicePort(.udp, 20048)
    private static let now = Bench.startOfTime

    private static func note(_ rule: String = "policy.yaml:3 \"clients mount\"") -> GrantNote {
        GrantNote(program: .mountd, issued: Timestamp(milliseconds: 1_790_000_000_000), rule: rule)
    }

    private static let sample: SavedGuard = {
        var settings = Settings()
        settings.mode = .observe
        settings.firewall.never = [22, 111, 443]
        settings.firewall.guardPorts = [.init(.udp, 32765...32768), .init(.tcp, 4045...4045)]
        var saved = SavedGuard(place: .init(boot: boot, network: 4_026_531_840), settings: settings)
        saved.programs = [nfs: [.nfs, .nfsACL], mountd: [.mountd], .tcp(662): []]
        saved.sockets = [nfs: [1, .max], mountd: [18]]
        var shared = Programs(.mountd)
        shared.formUnion(Programs(.nfs))
        let until = Timestamp(milliseconds: now.milliseconds + 86_400_000)
        saved.remembered = [
            GrantKey("10.1.2.3", nfs): .init(note: note(), programs: shared, until: until),
            GrantKey("2001:db8::7", mountd): .init(note: note("r"), programs: Programs(.mountd), until: until),
        ]
        return saved
    }()

    private static func text(_ saved: SavedGuard) -> String { String(decoding: saved.text, as: UTF8.self) }

    @Test("is text that a person can read")
    func readable() {
        #expect(
            Self.text(Self.sample) == """
                rpcwarden-guard 1
                boot 0f3c2a1b-1111-4222-8333-0123456789ab network 4026531840
                table rpcwarden guard observe
                never 22
                never 111
                never 443
                guard-ports udp/32765-32768
                guard-ports tcp/4045
                guarded tcp/662 programs - sockets -
                guarded tcp/2049 programs 100003,100227 sockets 1,18446744073709551615
                guarded udp/20048 programs 100005 sockets 18
                remembered 10.1.2.3 tcp/2049 until \(Self.now + .seconds(86_400)) programs 100003,100005 \
                note 100005 since 2026-09-21T14:13:20Z by policy.yaml:3 'clients mount'
                remembered 2001:db8::7 udp/20048 until \(Self.now + .seconds(86_400)) programs 100005 \
                note 100005 since 2026-09-21T14:13:20Z by r
                end 13

                """)
    }

    @Test("is read as it was written")
    func roundTrip() throws {
        #expect(try SavedGuardText.read(Self.sample.text) == Self.sample)
        let empty = SavedGuard()
        #expect(try SavedGuardText.read(empty.text) == empty)
        var without = Self.sample
        without.remembered = [:]
        #expect(try SavedGuardText.read(Self.sample.text, memory: false) == without)
    }

    @Test("cut short anywhere, it is none")
    func truncated() {
        let text = Self.sample.text
        for count in text.indices {
            #expect(throws: SavedGuardText.Fault.self, "\(count) bytes") {
                try SavedGuardText.read(Array(text[..<count]))
            }
        }
    }

    @Test("with a byte changed, it is none, or another sound one; nothing traps")
    func changed() {
        let text = Self.sample.text
        for index in text.indices {
            for byte in [0, 0x0a, 0x20, 0x2d, 0x2c, 0x30, 0x39, 0x7f, 0xff] as [UInt8] {
                var other = text
                other[index] = byte
                guard let saved = try? SavedGuardText.read(other) else { continue }
                #expect((try? SavedGuardText.read(saved.text)) == saved)
            }
        }
    }

    @Test(
        "what isn't as it is written is refused, with the line's number",
        arguments: [
            "guarded tcp/0 programs - sockets -", "guarded tcp/65536 programs - sockets -",
            "guarded sctp/1 programs - sockets -", "guarded tcp/01 programs - sockets -",
            "guarded tcp/+1 programs - sockets -", "guarded tcp/1 programs 4294967296 sockets -",
            "guarded tcp/1 programs 1,1 sockets -", "guarded tcp/1 programs 1, sockets -",
            "guarded tcp/1 programs - sockets 18446744073709551616", "guarded tcp/1 programs -1 sockets -",
            "guarded tcp/1 programs - sockets - ", "guarded  tcp/1 programs - sockets -",
            "guarded tcp/1 programs \((0...64).map(String.init).joined(separator: ",")) sockets -",
            "guarded tcp/1 programs - sockets \((0...64).map(String.init).joined(separator: ","))",
            "never 0", "never 70000", "never 22,111", "guard-ports tcp/9-8", "guard-ports tcp/", "guard-ports 9",
            "guard-ports tcp/1-2-3", "table t guard enforce", "boot x network 1",
            "boot 0f3c2a1b-1111-4222-8333-0123456789ab network x", "open tcp/22", "", " ",
            "remembered 10.1.2.3 tcp/1 until 2026-12-21T11:40:03Z programs - note 1 since 2026-09-21T14:13:20Z by r",
            "remembered 10.1.2.03 tcp/1 until 2026-12-21T11:40:03Z programs 1 note 1 since 2026-09-21T14:13:20Z by r",
            "remembered 10.1.2.3 tcp/1 until 2026-12-32T11:40:03Z programs 1 note 1 since 2026-09-21T14:13:20Z by r",
            "remembered 10.1.2.3 tcp/1 until 2026-12-21T11:40:03Z programs 1 note r",
            "remembered 10.1.2.3 tcp/1 until 2026-12-21T11:40:03Z programs 1 note 1 since 2026-09-21T14:13:20Z by "
                + String(repeating: "r", count: 100),
            "remembered 10.1.2.3 tcp/1 until 2026-12-21T11:40:03Z programs 1 note 1 since 2026-09-21T14:13:20Z by \"r\"",
            "remembered 10.1.2.3 tcp/1 until 2026-12-21T11:40:03Z programs 1 note 1 since 2026-09-21T14:13:20Z by r\\",
            "remembered 10.1.2.3 tcp/1 until 2026-12-21T11:40:03Z programs 1 note 1 since 2026-09-21T14:13:20Z by ü",
            "remembered 10.1.2.3",
        ])
    func hostile(line: String) {
        let text = "rpcwarden-guard 1\ntable rpcwarden guard enforce\n\(line)\nend 3\n"
        let fault = #expect(throws: SavedGuardText.Fault.self) { try SavedGuardText.read(Array(text.utf8)) }
        #expect(fault?.line == 3)
    }

    @Test(
        "another version, a repetition, lines behind the end, or too many of them are refused",
        arguments: [
            "rpcwarden-guard 2\ntable rpcwarden guard enforce\nend 2\n", "rpcwarden-guard 1\nend 1\n",
            "rpcwarden-guard 1\ntable rpcwarden guard enforce\nend 2\nnever 22\n",
            "rpcwarden-guard 1\ntable rpcwarden guard enforce\nend 3\n",
            "rpcwarden-guard 1\ntable rpcwarden guard enforce\ntable rpcwarden guard enforce\nend 3\n",
            "rpcwarden-guard 1\ntable a\u{301} guard enforce\nend 2\n",
            "rpcwarden-guard 1\ntable 1 guard enforce\nend 2\n",
            "rpcwarden-guard 1\ntable t drop enforce\nend 2\n",
            "rpcwarden-guard 1\ntable t guard enforce\n" + String(repeating: "never 22\n", count: 2) + "end 4\n",
            "rpcwarden-guard 1\ntable t guard enforce\n"
                + String(repeating: "guarded tcp/1 programs - sockets -\n", count: 2) + "end 4\n",
            "rpcwarden-guard 1\ntable t guard enforce\nnever " + String(repeating: "2", count: 5000) + "\nend 3\n",
            "rpcwarden-guard 1\ntable t guard enforce\n"
                + String(repeating: "guard-ports tcp/1\n", count: SavedGuard.portsMax + 1)
                + "end \(SavedGuard.portsMax + 3)\n",
            "\n",
        ])
    func unsound(text: String) {
        #expect(throws: SavedGuardText.Fault.self) { try SavedGuardText.read(Array(text.utf8)) }
    }

    @Test("of more than its limits the memories that end first are left out, and it can be read")
    func limits() throws {
        var saved = SavedGuard()
        for number in 0..<UInt32(SavedGuard.rememberedMax + 2) {
            let key = GrantKey(client: .v4(0x0a00_0000 + number), service: Self.nfs)
            saved.remembered[key] = .init(
                note: Self.note("r"), programs: Programs(.nfs),
                until: Timestamp(milliseconds: Int64(number) * 1000))
        }
        for port in 1...UInt16(SavedGuard.portsMax + 1) { saved.programs[.tcp(port)] = [.nfs] }
        let text = saved.text
        #expect(text.count < SavedGuardText.bytesMax)
        let read = try SavedGuardText.read(text)
        #expect(read.remembered.count == SavedGuard.rememberedMax && read.programs.count == SavedGuard.portsMax)
        #expect(read.remembered[GrantKey(client: .v4(0x0a00_0001), service: Self.nfs)] == nil)
        #expect(read.remembered[GrantKey(client: .v4(0x0a00_0002), service: Self.nfs)] != nil)
    }

    @Test("has room for ports of each server, though one of them, or this host, has too many, and for all addresses")
    func serverLimits() throws {
        var saved = SavedGuard()
        let addresses = (0..<20_000).map { IPAddress.v4(0x0a00_0000 + $0) }
        saved.firewall.gateway = GatewayShape(addresses: addresses)
        let servers = [0, 1, 9999, 19_999].map { ServerID(rawValue: UInt16($0 + 1)) }
        for port in UInt16(1)...20_000 {
            saved.programs[.tcp(port)] = [.nfs]
            saved.programs[ServicePort.tcp(port).at(servers[0])] = [.nfs]
        }
        for server in servers { saved.programs[ServicePort.tcp(2049).at(server)] = [.nfs] }
        let read = try SavedGuardText.read(saved.text)
        #expect(read.firewall.gateway?.addresses == addresses)
        let counts = Dictionary(grouping: read.programs.keys, by: \.server).mapValues(\.count)
        #expect(counts[.thisHost] == SavedGuard.portsMax && counts[servers[0]] == SavedGuard.serverPortsMax / 4)
        #expect(servers.dropFirst().allSatisfy { counts[$0] == 1 })
    }

    @Test("a rule's name of other characters is written in plain ones")
    func plainComments() throws {
        var saved = SavedGuard()
        let note = Self.note("policy.yaml:3 \"Büro\\\"")
        saved.remembered[GrantKey("10.1.2.3", Self.nfs)] = .init(
            note: note, programs: Programs(.nfs), until: Self.now)
        #expect(Self.text(saved).contains("by policy.yaml:3 'B?ro?'\n"))
        #expect(try SavedGuardText.read(saved.text).remembered.count == 1)
    }

    @Test("sockets count for nothing in another boot, and nothing does in another network namespace of this one")
    func places() {
        let place = Self.sample.place
        #expect(Self.sample.found(at: place) == Self.sample)
        #expect(Self.sample.found(at: .init(boot: Self.boot, network: 1)) == nil, "its ports aren't these")
        for other in [nil, SavedGuard.Place(boot: "", network: 4_026_531_840)] {
            #expect(Self.sample.found(at: other)?.sockets.isEmpty == true)
            #expect(Self.sample.found(at: other)?.programs == Self.sample.programs)
        }
    }

    // MARK: To the kernel

    @Test("closes what was guarded and what settings guard, never what is never guarded, and opens nothing")
    func transaction() throws {
        var settings = Settings()
        settings.firewall.guardPorts = [.init(.tcp, 22...23)]
        settings.firewall.never = [22, 111, 662]
        settings.firewall.revive = .seconds(3600)
        let transaction = Self.sample.transaction(for: settings, at: Self.now)
        #expect(transaction.table == "rpcwarden")
        #expect(
            transaction.operations.filter { if case .remember = $0 { false } else { true } } == [
                .makeTable(settings.tableShape), .guardPort(.tcp(23)), .guardPort(Self.nfs), .guardPort(Self.mountd),
            ])
        let comment = "100005 since 2026-09-21T14:13:20Z by policy.yaml:3 'clients mount'"
        #expect(
            transaction.operations.contains(
                .remember(GrantKey("10.1.2.3", Self.nfs), timeout: .seconds(3600), comment: comment)))
        #expect(transaction.operations.count == 6)
    }

    @Test("what is over is not remembered, and nothing is where grants don't come back")
    func memories() {
        let later = Self.now + .seconds(86_400)
        #expect(Self.sample.memories(for: Settings(), at: later).isEmpty)
        #expect(Self.sample.memories(for: Settings().with { $0.firewall.revive = .zero }, at: Self.now).isEmpty)
        let left = Self.sample.memories(for: Settings(), at: later + .seconds(-1)).map(\.left)
        #expect(left == [.seconds(1), .seconds(1)])
        #expect(Self.sample.memories(for: Settings().with { $0.limits.grants = 1 }, at: Self.now).count == 1)
        let ports = Set(Self.sample.remembered.keys.map(\.service.port))
        #expect(Self.sample.memories(for: Settings().with { $0.firewall.never = ports }, at: Self.now).isEmpty)
        // The clock of a host whose battery failed.
        let past = Self.sample.memories(for: Settings(), at: Timestamp(milliseconds: 0)).map(\.left)
        #expect(past == [.seconds(30 * 86_400), .seconds(30 * 86_400)])
    }

    @Test("of an administrator's table it fills the set of guarded ports, and makes none")
    func sets() {
        let settings = Settings().with { $0.firewall.management = .sets }
        let transaction = Self.sample.transaction(for: settings, at: Self.now)
        #expect(transaction.operations == [.guardPort(.tcp(662)), .guardPort(Self.nfs), .guardPort(Self.mountd)])
    }

    @Test("in the place of a broken configuration it says how the daemon ran, but frees no port of those never guarded")
    func lastSettings() {
        var saved = Self.sample
        #expect(saved.lastSettings.mode == .observe && saved.lastSettings.firewall.never == [22, 111, 443])
        saved.firewall.never = []
        #expect(saved.lastSettings.firewall.never == [22, 111])
        #expect(saved.lastSettings.firewall.guardPorts == Self.sample.firewall.guardPorts)
    }

    // MARK: In the Warden

    @Test("holds guarded ports with their programs, and all grants, live ones too, as memories")
    func snapshot() throws {
        let bench = Bench.started([.sample()])
        #expect(bench.loop.warden.guardToSave(at: bench.now)?.saved(at: nil).remembered.isEmpty == true)
        var mark = bench.loop.warden.savingMark
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        #expect(bench.loop.warden.savingMark > mark)
        let snapshot = bench.loop.warden.guardToSave(at: bench.now)
        let saved = try #require(snapshot).saved(at: Self.sample.place)
        #expect(saved.place == Self.sample.place)
        #expect(saved.programs[.tcp(20048)] == [.mountd] && saved.programs[.udp(662)] == [.status])
        let key = GrantKey("10.1.2.3", .tcp(20048))
        #expect(saved.remembered[key]?.until == bench.loop.warden.wallClock(at: bench.now) + .seconds(30 * 86_400))
        mark = bench.loop.warden.savingMark
        bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: 8)
        #expect(bench.loop.warden.savingMark == mark, "renewed, or as it was")
        bench.advance(by: Settings().firewall.keep + .seconds(1))
        bench.advance(by: .seconds(1))
        #expect(bench.loop.warden.savingMark > mark, "expired")
        mark = bench.loop.warden.savingMark
        bench.rpcbind.registrations = []
        bench.refresh()
        #expect(bench.loop.warden.savingMark > mark, "unregistered")
    }

    @Test("is not made before the registry is known, when the file knows more")
    func unknown() {
        let bench = Bench([.sample()])
        bench.holdsQuestions = true
        bench.start()
        #expect(bench.loop.warden.guardToSave(at: bench.now) == nil)
    }

    @Test("is guarded from the start where there is no table, and what was remembered comes back with its packet")
    func adopted() throws {
        let earlier = Bench.started([.sample(), .sample("nfs", to: [.nfs], open: .always)])
        earlier.call(.port(of: .mountd), from: .named.over(.tcp))
        earlier.call(.port(of: .mountd), from: .from("10.1.2.4"))
        let snapshot = earlier.loop.warden.guardToSave(at: earlier.now)
        let saved = try #require(snapshot).saved(at: nil)
        let bench = Bench([.sample(), .sample("nfs", to: [.nfs], open: .always)])
        bench.rpcbind.registrations = .typical
        bench.holdsQuestions = true
        bench.handle {
            $0.tableMissing(saved: saved, at: $1)
            $0.flush(at: $1, into: &$2)
        }
        #expect(bench.kernel.guarded == Set(saved.programs.keys) && !bench.kernel.guarded.isEmpty)
        let key = GrantKey("10.1.2.3", .tcp(20048))
        #expect(bench.kernel.granted.isEmpty)
        #expect(Set(bench.kernel.remembered.keys) == [key, GrantKey("10.1.2.4", .tcp(20048))])
        #expect(bench.kernel.standing.isEmpty, "nobody has looked yet who listens")
        bench.holdsQuestions = false
        bench.advance(by: .zero)
        #expect(Set(bench.kernel.standing.map(\.service)) == [.tcp(2049), .udp(2049)])
        let packet = DroppedPacket(client: key.client, clientPort: 700, service: key.service, kind: .remembered)
        bench.handle { warden, now, actions in
            warden.packetDropped(packet, at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted[key] != nil)
        #expect(bench.events(.renewed).map(\.detail) == ["revived"])
    }

    @Test("a port that settings guarded, and guard no longer, is not taken for a service's")
    func settingsOfTheEarlierRun() throws {
        let settings = Settings().with { $0.firewall.guardPorts = [Settings.PortRange(.tcp, 8080...8080)] }
        let earlier = Bench.started([.sample()], settings: settings)
        let snapshot = earlier.loop.warden.guardToSave(at: earlier.now)
        let saved = try #require(snapshot).saved(at: nil)
        var contents = TableContents()
        contents.guarded = earlier.kernel.guarded
        #expect(contents.guarded.contains(.tcp(8080)))
        let bench = Bench([.sample()])
        bench.handle {
            $0.tableFound(contents, saved: saved, at: $1)
            $0.flush(at: $1, into: &$2)
        }
        #expect(bench.kernel.guarded == contents.guarded.subtracting([.tcp(8080)]))
    }
}
