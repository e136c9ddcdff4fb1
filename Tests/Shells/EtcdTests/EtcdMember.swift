import Etcd
import Foundation
import Glibc
import Testing

/// A real etcd at ports of 127.0.0.1 that were free.
final class EtcdMember {
    let name: String
    let port: UInt16
    let peerPort: UInt16
    private let folder: TestFolder
    private let arguments: [String]
    private var process: Process?
    private var input = Pipe()
    private var processID: pid_t = 0

    init(_ name: String = "m0", in folder: TestFolder, _ arguments: [String] = []) throws {
        self.name = name
        self.folder = folder
        self.arguments = arguments
        (port, peerPort) = try Self.freePorts()
    }

    deinit { stop() }

    var endpoint: EtcdEndpoint { EtcdEndpoint(isSecure: isSecure, host: "127.0.0.1", port: port) }
    private var isSecure: Bool { arguments.contains("--cert-file") }
    private var scheme: String { isSecure ? "https" : "http" }
    var peer: String { "\(name)=http://127.0.0.1:\(peerPort)" }

    /// - Parameter cluster: all members' peers.
    func start(cluster: [String]? = nil) throws {
        let (client, peer) = ("\(scheme)://127.0.0.1:\(port)", "http://127.0.0.1:\(peerPort)")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        // It ends with the tests, even if these are killed: the pipe's end is its end. (Foundation's children have
        // all signals blocked, so that a shell would wait for its own in vain.)
        let script = "\"$@\" >>\(name).log 2>&1 </dev/null & echo $!; read -r _; kill -KILL $!"
        process.arguments =
            [
                "-c", script, "sh", "etcd", "--name", name, "--data-dir", name, "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", (cluster ?? [self.peer]).joined(separator: ","), "--logger", "zap",
            ] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let part = output.fileHandleForReading.availableData
            if part.isEmpty { break }
            line += part
        }
        let text = String(decoding: line, as: UTF8.self)
        processID = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)), "etcd: \(text)")
        self.process = process
    }

    /// As if its host had lost its network: connections stay, nothing answers.
    func freeze() { kill(processID, SIGSTOP) }
    func thaw() { kill(processID, SIGCONT) }

    func stop() {
        guard let process else { return }
        do { try input.fileHandleForWriting.close() } catch {}
        process.waitUntilExit()
        self.process = nil
        // Until it is gone it writes into its folder, which is removed next. One that ended has no command line.
        let deadline = ContinuousClock.now + .seconds(60)
        while FileManager.default.contents(atPath: "/proc/\(processID)/cmdline")?.isEmpty == false,
            ContinuousClock.now < deadline
        {
            usleep(1000)
        }
    }

    var log: String {
        do { return try String(contentsOfFile: "\(folder.path)/\(name).log", encoding: .utf8) } catch { return "" }
    }

    @discardableResult
    func control(_ arguments: String...) throws -> String { try control(arguments) }

    @discardableResult
    func control(_ arguments: [String]) throws -> String {
        let common = ["etcdctl", "--endpoints=\(scheme)://127.0.0.1:\(port)", "--command-timeout=60s"]
        return try run("ETCDCTL_API=3", common + arguments, in: folder.path)
    }

    /// Nothing listened there a moment ago. Both are held meanwhile: else they may be one.
    private static func freePorts() throws -> (UInt16, UInt16) {
        let descriptors = (0..<2).map { _ in socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
        defer { for descriptor in descriptors { close(descriptor) } }
        return (try freePort(of: descriptors[0]), try freePort(of: descriptors[1]))
    }

    private static func freePort(of descriptor: Int32) throws -> UInt16 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(descriptor, $0, length) == 0)
                try #require(getsockname(descriptor, $0, &length) == 0)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }
}

extension EtcdMember {
    /// Waits for what the member itself does.
    func wait(_ isDone: (EtcdMember) -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while !isDone(self) {
            try #require(ContinuousClock.now < deadline, "\(log.suffix(2000))")
            usleep(20_000)
        }
    }

    var tokensDeleted: Int { log.ranges(of: "deleted a simple token").count }
}
