import Bundles
import Configuration
import Firewall
import Glibc
import PolicyFile
import Privilege
import Sandbox
import Synchronization
import System

/// Reads configuration and policy for the netfilter process on a separate thread, while the process serves.
///
/// The thread is made at the start, since the process can't make threads later.
final class FileReader: Sendable {
    /// What the files held, and the ceiling that follows from them.
    struct Result: Sendable {
        var files: FilesRead
        /// `nil`: the files have an error.
        var fresh: Fresh?
    }

    struct Fresh: Sendable {
        var settings: Settings
        var ceiling: Ceiling
        /// No older bundle of the fleet may follow this one.
        var lastBundle: AcceptedBundle?
    }

    private struct State {
        /// What was in force when a reading was requested that has not begun; `nil`: none was.
        var inForce: (settings: Settings, lastBundle: AcceptedBundle?)?
        var result: Result?
    }

    private let configuration: String?
    private let keptBundlePath: String?
    private let features: KernelFeatures
    private let state = Mutex(State())
    /// A byte wakes the thread.
    private let requests: Pipe

    /// - Parameters:
    ///   - keptBundlePath: the fleet's bundle that was accepted last, which a refused one doesn't take away.
    ///   - restrict: gives up rights of the thread before it reads anything. Its error ends the start.
    init(
        configuration: String?, keptAt keptBundlePath: String?, _ features: KernelFeatures,
        restrict: @escaping @Sendable () throws -> Void
    ) throws {
        self.configuration = configuration
        self.keptBundlePath = keptBundlePath
        self.features = features
        requests = try Pipe()
        let start = try Pipe()
        defer { start.close() }
        let failure = Mutex<(any Error)?>(nil)
        let code = BlockingCall.start { [self] in
            do { try restrict() } catch { failure.withLock { $0 = error } }
            _ = write(start.writeEnd, [UInt8](repeating: 0, count: 1), 1)
            serve()
        }
        guard code == 0 else { throw Errno(code) }
        Self.awaitByte(from: start.readEnd)
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Requests a reading; ``takeResult()`` returns its result. A request during a reading starts another one after it.
    func request(inForce settings: Settings, after lastBundle: AcceptedBundle?) {
        let isFirst = state.withLock { state in
            defer { state.inForce = (settings, lastBundle) }
            return state.inForce == nil
        }
        // One byte stands for all requests that wait: the pipe never fills, whatever the other process asks.
        if isFirst { _ = write(requests.writeEnd, [UInt8](repeating: 0, count: 1), 1) }
    }

    /// `nil`: the reading has not ended.
    func takeResult() -> Result? { state.withLock { $0.result.take() } }

    /// The thread ends after the requested reading.
    func close() { Glibc.close(requests.writeEnd) }

    private func serve() {
        while Self.awaitByte(from: requests.readEnd) {
            guard let inForce = state.withLock({ $0.inForce.take() }) else { continue }
            let result = read(inForce: inForce.settings, after: inForce.lastBundle)
            state.withLock { $0.result = result }
            Memory.trimHeap()
        }
        Glibc.close(requests.readEnd)
    }

    private func read(inForce settings: Settings, after lastBundle: AcceptedBundle?) -> Result {
        let load = PolicyLoader(after: lastBundle, keptAt: keptBundlePath).load(configurationPath: configuration)
        guard !load.hasErrors else { return Result(files: load.answers) }
        let settings = settings.changedLive(to: load.settings.fitted(to: features))
        let ceiling = Ceiling(settings: settings, rules: load.rules)
        return Result(
            files: load.answers, fresh: Fresh(settings: settings, ceiling: ceiling, lastBundle: load.lastBundle))
    }

    @discardableResult
    private static func awaitByte(from descriptor: Int32) -> Bool {
        var byte: UInt8 = 0
        while true {
            let count = Glibc.read(descriptor, &byte, 1)
            if count >= 0 || errno != EINTR { return count == 1 }
        }
    }
}
