import AuditLog
import Glibc
import NIOCore
import NIOPosix
import PolicyFile
import PortmapServer
import Portmapper
import Sandbox
import Warden

public enum Version {
    public static let text = "0.1.0"
}

/// Why the daemon can't run.
public enum ServeError: Error, CustomStringConvertible {
    case configuration([Diagnostic])
    case socket(SocketError)
    case tableRefused(String)
    case runDirectory(String, code: Int32)
    case netfilterProcess(String)

    public var description: String {
        switch self {
        case .configuration(let diagnostics): diagnostics.map(\.description).joined(separator: "\n")
        case .socket(let error) where error.code == EADDRINUSE:
            "rpcwarden: \(error); if rpcbind has it, `rpcwarden setup` takes its network away"
        case .socket(let error) where error.code == EACCES:
            "rpcwarden: \(error); ports below 1024 need CAP_NET_BIND_SERVICE, or sockets from rpcwarden.socket"
        case .socket(let error): "rpcwarden: \(error)"
        case .tableRefused(let detail):
            "rpcwarden: the kernel refused the firewall table: \(detail); serve needs CAP_NET_ADMIN and nf_tables"
        case .runDirectory(let path, let code):
            "rpcwarden: can't make \(path): \(String(cString: strerror(code))); make it, or change `control`"
        case .netfilterProcess(let detail): "rpcwarden: ended, for \(detail); guard and grants stay in the kernel"
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// - Parameter configuration: `nil`: the default path, which may be missing.
public func serve(configuration: String?) throws {
    let load = PolicyLoader().load(configurationPath: configuration)
    let tell = { for diagnostic in load.diagnostics { writeError(diagnostic.description) } }
    // Invariant 1: without a policy that can be read whole, nothing starts.
    guard !load.hasErrors else {
        tell()
        throw ServeError.configuration([])
    }
    try Memory.returnsLargeBlocks()
    // What reading took, before there are two processes that have it.
    Memory.giveBack()
    let netfilter = try NetfilterProcess.start(load, configuration: configuration)
    // Not before: that may execute the program anew.
    tell()
    let signals = blockedSignals()
    try makeRunDirectory(for: load.settings.controlPath)
    let sockets = try listeningSockets(load.settings)
    try restrict(load.settings)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let engine = try loop.submit {
        let client = try NetfilterClient(netfilter.channel)
        let engine = try Engine(on: loop, load, configuration: configuration, client)
        return (NIOLoopBound(engine, eventLoop: loop), try engine.start(at: sockets))
    }.wait()
    try engine.1.wait()
    wait(for: signals, onHangup: { loop.execute { engine.0.value.refresh() } })
    try loop.flatSubmit { engine.0.value.drain() }.wait()
    let loss = try loop.submit {
        engine.0.value.stop()
        return engine.0.value.netfilter.loss
    }.wait()
    try group.syncShutdownGracefully()
    netfilter.awaitEnd()
    if let loss { throw ServeError.netfilterProcess(loss) }
}

/// Every socket below 1024 is bound: from here on this process, which strangers talk to, has no capability at all.
private func restrict(_ settings: Settings) throws(SandboxError) {
    try Privileges.keep(only: nil)
    let folders = Set(([settings.controlPath] + auditPaths(settings.audit)).map(folder)).sorted()
    // Where it is missing, the netfilter process says so.
    _ = try Privileges.onlyWriteFiles(beneath: folders)
}

/// Where the audit log's file is named, and where a symbolic link of that name leads to.
private func auditPaths(_ audit: Settings.Audit) -> [String] {
    guard audit.destination == .file, let path = audit.file else { return [] }
    guard let target = realpath(path, nil) else { return [path] }
    defer { free(target) }
    return [path, String(cString: target)]
}

private func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

private func listeningSockets(_ settings: Settings) throws -> [ListeningSocket] {
    do {
        let passed = try ListeningSocket.passed()
        guard passed.isEmpty else { return passed }
        return try ListeningSocket.bind(settings.listen) { writeError("rpcwarden: \($0); left out") }
    } catch {
        throw ServeError.socket(error)
    }
}

/// The folder of the control socket; only its last part is ours to make.
private func makeRunDirectory(for controlPath: String) throws {
    let directory = folder(of: controlPath)
    guard mkdir(directory, 0o755) < 0, errno != EEXIST else { return }
    throw ServeError.runDirectory(directory, code: errno)
}

/// Blocks the signals that we wait for, before any thread starts.
private func blockedSignals() -> sigset_t {
    signal(SIGPIPE, SIG_IGN)
    // A limit on the log file's size is an error of its writer (EFBIG), not the daemon's end.
    signal(SIGXFSZ, SIG_IGN)
    var set = sigset_t()
    sigemptyset(&set)
    for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, number) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
    return set
}

private func wait(for signals: sigset_t, onHangup: () -> Void) {
    var signals = signals
    while true {
        var number: Int32 = 0
        guard sigwait(&signals, &number) == 0 else { continue }
        guard number == SIGHUP else { return }
        onHangup()
    }
}

/// Writes a line to stderr, without ever waiting for its reader.
func writeError(_ line: String) {
    StandardError.write(line)
}
