import AuditLog
import Bundles
import Configuration
import Glibc
import NIOCore
import NIOPosix
import PolicyFile
import PortmapServer
import Sandbox
import Synchronization
import System

/// Why the daemon can't run.
public enum ServeError: Error, CustomStringConvertible {
    case configuration([Diagnostic])
    case socket(SocketError)
    case interception(InterceptionFault)
    case tableRefused(String)
    case setting(SettingFault)
    case user(SandboxError)
    case processLost(String)

    public var description: String {
        switch self {
        case .configuration(let diagnostics): diagnostics.map(\.description).joined(separator: "\n")
        case .socket(let error) where error.code == EADDRINUSE:
            "rpcwarden: \(error); if rpcbind holds it, `rpcwarden setup` takes rpcbind off the network"
        case .socket(let error) where error.code == EACCES:
            "rpcwarden: \(error); ports below 1024 need CAP_NET_BIND_SERVICE, or sockets from rpcwarden.socket"
        case .socket(let error) where error.code == EADDRNOTAVAIL:
            "rpcwarden: \(error); name an address that this host has in `listen`, or take sockets from rpcwarden.socket"
        case .socket(let error):
            "rpcwarden: \(error); see `listen`, or the ListenStream= and ListenDatagram= of rpcwarden.socket"
        case .interception(let fault): "rpcwarden: \(fault)"
        case .tableRefused(let detail):
            "rpcwarden: the kernel refused the firewall table: \(detail); serve needs CAP_NET_ADMIN and nf_tables"
        case .setting(let fault): "rpcwarden: \(fault)"
        case .user(let error):
            "rpcwarden: \(error); grant CAP_SETUID, CAP_SETGID and CAP_SETPCAP, or start it as that user with the"
                + " ambient capabilities CAP_NET_ADMIN and CAP_NET_BIND_SERVICE (docs/COOKBOOK.md, containers)"
        case .processLost(let detail): "rpcwarden: the daemon ended: \(detail); guard and grants stay in the kernel"
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// - Parameter configuration: `nil`: the default path, which may be missing.
public func serve(configuration: String?) throws {
    // The connector is forked before anything is in memory, since it inherits a copy.
    let user = ServiceUser.needed()
    let connector = Reexecution.isNeeded ? nil : try ConnectorProcess.start(user: user)
    let keptBundlePath = StateFolder(isOfUser: user != nil).keptBundle.path
    let loader = PolicyLoader(after: acceptedBundle(isOfUser: user != nil), keptAt: keptBundlePath)
    var read = loader.load(configurationPath: configuration)
    // Only a reload hands the files' bytes on; both processes would keep these as long as they live.
    read.answers = [:]
    let fetched = Mutex(read.fetchedBundle.take())
    let load = read
    let tell = { for diagnostic in load.diagnostics { writeError(diagnostic.description) } }
    // HANDBOOK, invariant 1: without a policy that can be read whole, nothing starts.
    guard !load.hasErrors else {
        tell()
        throw ServeError.configuration([])
    }
    try Memory.returnsLargeBlocks()
    // Returns the memory used for reading, before the fork duplicates it.
    Memory.trimHeap()
    let startup = Startup(settings: load.settings, user: user)
    let netfilter = try NetfilterProcess.start(
        load, configuration: configuration, keptAt: keptBundlePath, user: user)
    // Without one, `NetfilterProcess.start` has executed the program again.
    guard let connector else { throw ServeError.processLost("the connector was not started") }
    tell()
    let signals = blockedSignals()
    let belongings = try takePlaces(startup)
    if let warning = startup.unreadable(load.filesRead) { writeError(warning) }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let engine = try loop.submit {
        let processes = try Processes(
            connector: ConnectorClient(
                connector.channel, load.settings.rpcbind, on: loop),
            netfilter: NetfilterClient(netfilter.channel))
        let engine = try Engine(
            on: loop, load, configuration: configuration, processes, belongings, refusedPeers: [connector.processID])
        let started = try engine.start(load, fetchedBundle: fetched.withLock { $0.take() })
        return (NIOLoopBound(engine, eventLoop: loop), started)
    }.wait()
    try engine.1.wait()
    wait(for: signals, onHangup: { loop.execute { engine.0.value.refresh() } })
    try loop.flatSubmit { engine.0.value.drain() }.wait()
    try loop.flatSubmit { engine.0.value.saveGuard() }.wait()
    let loss = try loop.submit {
        engine.0.value.stop()
        return engine.0.value.processes.loss
    }.wait()
    try loop.flatSubmit { engine.0.value.processes.connector.close() }.wait()
    try group.syncShutdownGracefully()
    netfilter.awaitEnd()
    connector.awaitEndBriefly()
    if let loss { throw ServeError.processLost(loss) }
}

/// The fleet's bundle that an earlier run accepted.
private func acceptedBundle(isOfUser: Bool) -> AcceptedBundle? {
    do {
        return try StateFolder(isOfUser: isOfUser).bundleFile.read()
    } catch {
        writeError("rpcwarden: an older policy of the fleet can't be told from a newer one: \(error)")
        return nil
    }
}

/// Opens sockets and folders with the rights at the start, then drops all rights that aren't needed.
private func takePlaces(_ startup: Startup) throws -> Belongings {
    let state = startup.makeStateFolder()
    do {
        try startup.makeRunDirectory()
        let fleet = try startup.makeFleetSocket()
        return try startup.giveUpRights(try listeningSockets(startup.settings), state, fleet: fleet)
    } catch let fault as SettingFault {
        throw ServeError.setting(fault)
    }
}

private func listeningSockets(_ settings: Settings) throws -> [ListeningSocket] {
    let (sockets, arePassed) = try plainSockets(settings)
    guard let gateway = settings.gateway else { return sockets }
    do {
        try Interception.prepare(sockets, for: gateway.interceptedAddresses, arePassed: arePassed)
    } catch {
        throw ServeError.interception(error)
    }
    return sockets
}

private func plainSockets(_ settings: Settings) throws -> ([ListeningSocket], arePassed: Bool) {
    do {
        let passed = try ListeningSocket.passed()
        guard passed.isEmpty else { return (passed, true) }
        let bound = try ListeningSocket.bind(settings.listen) {
            writeError("rpcwarden: \($0); this address is skipped")
        }
        return (bound, false)
    } catch {
        throw ServeError.socket(error)
    }
}

/// Blocks the signals that the main thread waits for, before any thread starts.
private func blockedSignals() -> sigset_t {
    signal(SIGPIPE, SIG_IGN)
    // A limit on the log file's size becomes a write error (EFBIG), and doesn't end the daemon.
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

/// Writes a line to stderr without waiting for its reader.
func writeError(_ line: String) {
    StandardError.write(line)
}
