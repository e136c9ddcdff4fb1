import Configuration
import Control
import Etcd
import Glibc
import NIOCore
import NIOPosix
import Sandbox
import System

/// Why the sidecar can't run.
public struct SidecarError: Error, CustomStringConvertible {
    public var description: String

    public init(_ description: String) { self.description = description }
}

/// What the sidecar reads and makes before it gives up the rights to do so.
public struct SidecarPlaces: Sendable {
    let settings: SidecarSettings
    let node: String
    let statePath: String

    /// - Parameter isName: whether a text can be a node's name.
    public init(_ settings: SidecarSettings, isName: (String) -> Bool) throws(SidecarError) {
        self.settings = settings
        if let node = settings.node {
            self.node = node
        } else {
            node = try Self.hostName()
            guard isName(node) else { throw SidecarError("the host's name \"\(node)\" can't name a node; set `node`") }
        }
        let folder = getenv("STATE_DIRECTORY").map { String(cString: $0) }
        statePath = settings.statePath ?? folder ?? SidecarSettings.defaultStatePath
    }

    private static func hostName() throws(SidecarError) -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { throw SidecarError("the host has no name: \(Errno())") }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Makes the folders, becomes the service's user if root starts it, and gives up the rest.
    fileprivate func settle() throws -> (ControlSocket, Notifier) {
        let user = ServiceUser.needed(among: ["rpcwarden-fleet", "nobody"])
        let controlFolder = PathParts(settings.controlPath).folder ?? "."
        for (folder, mode) in [(controlFolder, mode_t(0o755)), (statePath, 0o755)] {
            let isMade = mkdir(folder, mode) == 0
            guard isMade || errno == EEXIST else { throw SidecarError("\"\(folder)\": \(Errno()); make it") }
            // An existing folder may belong to other software.
            if let user, isMade { _ = lchown(folder, user.id, user.group) }
        }
        if let user { try Privileges.become(user) }
        try Privileges.keep(only: nil)
        guard access(statePath, W_OK | X_OK) == 0 else {
            throw SidecarError("\"\(statePath)\": \(Errno()); uid \(geteuid()) must be able to write there")
        }
        let socket = try ControlSocket(at: settings.controlPath)
        let notifier = Notifier()
        _ = try Privileges.onlyWriteFiles(
            beneath: [controlFolder, statePath], usesAbstractSockets: notifier.isAbstract)
        // The daemon's socket is connected again and again.
        _ = try Privileges.noUnneededCalls(makesUnixSockets: true)
        return (socket, notifier)
    }
}

/// Runs the sidecar until SIGTERM or SIGINT.
public func serve(_ places: SidecarPlaces, _ access: StoreAccess) throws {
    signal(SIGPIPE, SIG_IGN)
    try Memory.returnsLargeBlocks()
    let signals = blockedSignals()
    let (socket, notifier) = try places.settle()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let files = NIOThreadPool(numberOfThreads: 1)
    files.start()
    let loop = group.next()
    let client = try EtcdClient(on: loop, access.settings)
    let running = try loop.submit {
        let sidecar = Sidecar(
            on: loop, places.settings, node: places.node, statePath: places.statePath, client: client, files: files
        ) { StandardError.write("rpcwarden-fleet: \(StandardError.printable($0))") }
        let server = ControlServer(on: loop, socket: socket, lineAnswer: sidecar.answer)
        sidecar.start()
        return NIOLoopBound((sidecar: sidecar, server: server), eventLoop: loop)
    }.wait()
    try loop.flatSubmit { running.value.server.listen() }.wait()
    notifier.notify("READY=1", waits: true)
    waitForEnd(signals)
    notifier.notify("STOPPING=1")
    try loop.submit {
        running.value.server.close()
        running.value.sidecar.stop()
    }.wait()
    try files.syncShutdownGracefully()
    try group.syncShutdownGracefully()
}

private func blockedSignals() -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in [SIGTERM, SIGINT] { sigaddset(&set, number) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
    return set
}

private func waitForEnd(_ signals: sigset_t) {
    var signals = signals
    var number: Int32 = 0
    while sigwait(&signals, &number) != 0 {}
}
