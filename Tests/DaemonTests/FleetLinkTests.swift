import Addresses
import Clock
import Control
import FleetRecords
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import System
import Testing

@testable import Daemon

/// The daemon's end of the socket on a loop of its own; the test is the sidecar.
private final class Site: Sendable {
    struct State {
        var heard: [SidecarMessage] = []
        var connected = 0
        var lost: [String] = []
        var failures: [String] = []
        var pair = "nas"
    }

    let state = Mutex(State())
    let path: String
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let link: NIOLoopBound<FleetLink>
    let changes = AsyncStream.makeStream(of: Void.self)

    /// - Parameter grants: so many pages of one grant each.
    init(pages: Int = 2) throws {
        let folder = "/tmp/rpcwarden-test.\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
        mkdir(folder, 0o700)
        path = folder + "/fleet.sock"
        let socket = try ControlSocket(at: path, setting: "fleet.socket")
        let loop = group.next()
        let boxed = Box()
        link = try loop.submit {
            let surroundings = FleetLink.Surroundings(
                facts: {
                    var facts = DaemonFacts()
                    facts.pair = boxed.site?.state.withLock { $0.pair }
                    return facts
                },
                status: {
                    NodeStatus(
                        version: "1", mode: "enforce", serial: 0, grants: 0, denialsPerHour: 0,
                        since: Timestamp(milliseconds: 0))
                },
                page: { place in
                    ([.released(.v4(UInt32(place)))], place + 1 < pages ? place + 1 : nil)
                },
                heard: { messages in boxed.site?.change { $0.heard += messages } },
                connected: { boxed.site?.change { $0.connected += 1 } },
                lost: { detail in boxed.site?.change { $0.lost.append(detail) } },
                failed: { detail in boxed.site?.change { $0.failures.append(detail) } })
            return NIOLoopBound(FleetLink(on: loop, socket, surroundings), eventLoop: loop)
        }.wait()
        boxed.site = self
        let link = link
        try loop.flatSubmit { link.value.listen() }.wait()
    }

    /// Set before anything connects.
    private final class Box: @unchecked Sendable { weak var site: Site? }

    private func change(_ body: (inout sending State) -> Void) {
        state.withLock { body(&$0) }
        changes.continuation.yield()
    }

    func run(_ body: @escaping @Sendable (FleetLink) -> Void) throws {
        let link = link
        try group.next().submit { body(link.value) }.wait()
    }

    /// Waits until the daemon's end has changed as awaited.
    func await(_ holds: (State) -> Bool) async {
        if state.withLock({ holds($0) }) { return }
        for await _ in changes.stream where state.withLock({ holds($0) }) { return }
    }

    func close() throws {
        try run { $0.close() }
        try group.syncShutdownGracefully()
        rmdir(String(path.dropLast("/fleet.sock".count)))
    }
}

/// A connection of a sidecar that reads when it is told to.
private struct Sidecar: ~Copyable {
    private let descriptor: Int32
    private var rest: [UInt8] = []

    init(_ site: Site) throws { descriptor = try UnixSocket.stream(to: site.path) }

    deinit { close(descriptor) }

    func write(_ bytes: [UInt8]) { _ = Glibc.write(descriptor, bytes, bytes.count) }

    /// `nil`: the daemon has closed the connection.
    mutating func read() throws -> DaemonMessage? {
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                defer { rest.removeFirst(end + 1) }
                return try DaemonMessage(line: rest[..<end])
            }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            guard count > 0 else { return nil }
            rest += bytes[..<count]
        }
    }

    mutating func read(_ count: Int) throws -> [DaemonMessage] {
        var messages: [DaemonMessage] = []
        while messages.count < count, let message = try read() { messages.append(message) }
        return messages
    }
}

@Suite("the socket of rpcwarden-fleet") struct FleetLinkTests {
    private static func released(_ number: Int) -> DaemonMessage { .released(.v4(UInt32(number))) }

    @Test("says hello, tells everything, and then what happens")
    func tells() throws {
        let site = try Site()
        var sidecar = try Sidecar(site)
        let first = try sidecar.read(5)
        guard case .hello(let facts)? = first.first else {
            Issue.record("\(first)")
            return
        }
        #expect(facts.pair == "nas")
        #expect(first.dropFirst() == [.resyncBegan, Self.released(0), Self.released(1), .resyncEnded])
        try site.run { $0.tell(Self.released(7)) }
        #expect(try sidecar.read() == Self.released(7))
        try site.run { $0.timeAdvanced(to: .zero) }
        guard case .status? = try sidecar.read() else {
            Issue.record("no status")
            return
        }
        try site.close()
        #expect(try sidecar.read() == nil)
    }

    @Test("says hello again if a reload has changed what it says there, and then tells everything")
    func factsChange() throws {
        let site = try Site()
        var sidecar = try Sidecar(site)
        #expect(try sidecar.read(5).last == .resyncEnded)
        try site.run { $0.beginResync() }
        #expect(try sidecar.read(4).first == .resyncBegan)
        site.state.withLock { $0.pair = "other" }
        try site.run { $0.beginResync() }
        guard case .hello(let facts)? = try sidecar.read() else {
            Issue.record("no hello")
            return try site.close()
        }
        #expect(facts.pair == "other")
        #expect(try sidecar.read(4).first == .resyncBegan)
        try site.close()
    }

    @Test("hears lines however they are cut, and closes on one that it can't read, or that never ends")
    func hears() async throws {
        let site = try Site()
        let grant = SharedGrant(.v4(1), .nfs, .tcp)
        do {
            let sidecar = try Sidecar(site)
            for byte in SidecarMessage.end(grant).line { sidecar.write([byte]) }
            sidecar.write(SidecarMessage.end(grant).line + SidecarMessage.policy(group: "g", serial: 3).line)
            await site.await { $0.heard == [.end(grant), .end(grant), .policy(group: "g", serial: 3)] }
            sidecar.write(Array("{\"is\":\"open\"}\n".utf8))
            await site.await { $0.lost.count == 1 && $0.failures.count == 1 }
        }
        let endless = try Sidecar(site)
        await site.await { $0.connected == 2 }
        for _ in 0..<20 { endless.write([UInt8](repeating: 0x20, count: 1024)) }
        await site.await { $0.lost.count == 2 && $0.failures.count == 2 }
        try site.close()
    }

    @Test("has one user: a new one takes the place of the former")
    func replaced() async throws {
        let site = try Site()
        var first = try Sidecar(site)
        _ = try first.read(5)
        var second = try Sidecar(site)
        _ = try second.read(5)
        #expect(try first.read() == nil)
        try site.run { $0.tell(Self.released(9)) }
        #expect(try second.read() == Self.released(9))
        // Nothing was lost: a sidecar is here.
        #expect(site.state.withLock { $0.lost }.isEmpty)
        try site.close()
    }

    @Test("tells everything anew to a sidecar that read too slowly, and holds nothing for it meanwhile")
    func slow() throws {
        let site = try Site(pages: 3000)
        var sidecar = try Sidecar(site)
        _ = try sidecar.read()
        // The kernel's buffers are full at some time.
        for round in 0..<20 {
            try site.run { link in
                for number in 0..<FleetOutlet.waitingMax { link.tell(Self.released(1_000_000 + number + round)) }
            }
        }
        let overruns = Mutex(0)
        try site.run { link in
            overruns.withLock { $0 = link.overruns }
            #expect(link.waitingCount <= FleetOutlet.waitingMax)
        }
        #expect(overruns.withLock { $0 } > 0)
        // The last time that it is told everything, nothing is missing.
        var resynced: Set<UInt32> = []
        var ends = 0
        try site.run { $0.tell(Self.released(2_000_000)) }
        while let message = try sidecar.read() {
            if message == .resyncBegan { resynced = [] }
            if case .released(.v4(let number)) = message, number < 3000 { resynced.insert(number) }
            if message == .resyncEnded { ends += 1 }
            if message == Self.released(2_000_000) { break }
        }
        #expect(ends > 0)
        #expect(resynced.count == 3000)
        try site.close()
    }
}
