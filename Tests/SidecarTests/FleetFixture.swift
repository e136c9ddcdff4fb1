import Clock
import Configuration
import Etcd
import FleetRecords
import Foundation
import Glibc
import NIOCore
import NIOPosix
import Sidecar
import System
import Testing

/// A real etcd with TLS, and nodes: each a stand-in daemon and a sidecar.
final class FleetFixture {
    let folder: TestFolder
    let authority: TestCA
    let etcd: EtcdMember
    private var nodes: [FixtureNode] = []

    init() throws {
        folder = try TestFolder()
        authority = try TestCA(in: folder)
        try authority.sign("server")
        etcd = try EtcdMember(in: folder, ["--cert-file", "server.pem", "--key-file", "server.key"])
        try etcd.start()
    }

    func end() {
        for node in nodes { node.end() }
        etcd.stop()
    }

    /// - Parameter place: where its files are; as a rule, its name says it.
    func node(
        _ name: String, at place: String? = nil, _ change: (inout DaemonFacts) -> Void = { _ in }
    ) throws -> FixtureNode {
        var facts = DaemonFacts()
        facts.version = "test"
        facts.pair = "p"
        facts.sharesQuarantines = true
        facts.acceptsQuarantines = true
        change(&facts)
        let node = try FixtureNode(name, facts, at: "\(folder.path)/\(place ?? name)") { [unowned self] in try settings
        }
        nodes.append(node)
        return node
    }

    /// Writes keys of the fleet, as whoever may.
    func put(_ records: [(path: String, value: [UInt8])]) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let client = try EtcdClient(on: group.next(), try settings)
        let puts = records.map {
            EtcdOperation.put(key: Array("/rpcwarden/v1/lab/\($0.path)".utf8), value: $0.value, lease: 0)
        }
        _ = try client.transact([], puts).wait()
        client.close()
        try group.syncShutdownGracefully()
    }

    var settings: EtcdSettings {
        get throws {
            var settings = EtcdSettings(endpoints: [etcd.endpoint], tls: try authority.tls())
            // On a busy machine etcd itself takes seconds.
            settings.connectTimeout = .seconds(30)
            settings.requestTimeout = .seconds(60)
            return settings
        }
    }
}

final class FixtureNode {
    let name: String
    let daemon: StandInDaemon
    let statePath: String
    private let store: () throws -> EtcdSettings
    private var group: MultiThreadedEventLoopGroup?
    private var files = NIOThreadPool(numberOfThreads: 1)
    private var sidecar: NIOLoopBound<Sidecar>?

    init(_ name: String, _ facts: DaemonFacts, at path: String, store: @escaping () throws -> EtcdSettings) throws {
        self.name = name
        self.store = store
        statePath = path
        try FileManager.default.createDirectory(atPath: statePath, withIntermediateDirectories: true)
        daemon = try StandInDaemon(at: "\(path).sock", facts)
    }

    func start() throws {
        var settings = SidecarSettings()
        settings.fleet = "lab"
        settings.socketPath = daemon.path
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let (name, statePath) = (name, statePath)
        files = NIOThreadPool(numberOfThreads: 1)
        files.start()
        let (client, files) = (try EtcdClient(on: loop, try store()), files)
        sidecar = try loop.submit { [settings] in
            let sidecar = Sidecar(
                on: loop, settings, node: name, statePath: statePath, client: client, files: files, seed: 1,
                log: { _ in })
            sidecar.start()
            return NIOLoopBound(sidecar, eventLoop: loop)
        }.wait()
        self.group = group
    }

    /// The sidecar ends; the daemon stays.
    func stop() throws {
        guard let group, let sidecar else { return }
        try group.next().submit { sidecar.value.stop() }.wait()
        try files.syncShutdownGracefully()
        try group.syncShutdownGracefully()
        self.group = nil
        self.sidecar = nil
    }

    func end() {
        do { try stop() } catch { Issue.record("\(error)") }
        daemon.close()
    }

    /// Waits for such a line; the bound ends only a test that fails.
    func answers(_ question: SidecarQuestion, _ text: String) throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while true {
            let lines = try answer(question)
            if lines.contains(where: { $0.contains(text) }) { return }
            try #require(ContinuousClock.now < deadline, "\(text): \(lines)")
            usleep(20_000)
        }
    }

    /// The lines that a question to the sidecar's control socket would get.
    func answer(_ question: SidecarQuestion) throws -> [String] {
        let sidecar = try #require(sidecar)
        let loop = try #require(group).next()
        let bytes = try loop.flatSubmit {
            sidecar.value.answer(question.line).map { answer -> [UInt8] in
                switch answer {
                case .encoded(let bytes): return bytes
                case .parts(let next):
                    var bytes: [UInt8] = []
                    while let part = next() { bytes += part }
                    return bytes
                case .reply: return []
                }
            }
        }.wait()
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
