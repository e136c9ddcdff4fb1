import Configuration
import Firewall
import Glibc
import PolicyFile
import Privilege
import Sandbox
import Synchronization
import System

/// Reads configuration and policy for the netfilter process, which serves meanwhile, on a thread of its own.
///
/// The thread is made once: later the process may make none.
final class FileReader: Sendable {
    /// What the files say, and what may be done by them.
    struct Result: Sendable {
        var reading: FileReading
        /// `nil`: the files were refused.
        var fresh: (settings: Settings, ceiling: Ceiling)?
    }

    private struct State {
        /// What is in force, for whoever asks for a reading.
        var settings: Settings?
        var result: Result?
    }

    private let configuration: String?
    private let features: KernelFeatures
    private let state = Mutex(State())
    /// A byte is a request.
    private let requests: Pipe

    /// - Parameter restrict: what the thread gives up before it reads anything. An error of it ends the start.
    init(
        configuration: String?, _ features: KernelFeatures, restrict: @escaping @Sendable () throws -> Void
    ) throws {
        self.configuration = configuration
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

    /// Asks for a reading; ``takeResult()`` tells of its end. One that is asked for meanwhile follows.
    func request(inForce settings: Settings) {
        state.withLock { $0.settings = settings }
        _ = write(requests.writeEnd, [UInt8](repeating: 0, count: 1), 1)
    }

    /// `nil`: it is not at its end.
    func takeResult() -> Result? { state.withLock { $0.result.take() } }

    /// The thread ends once it has read what was asked for.
    func close() { Glibc.close(requests.writeEnd) }

    private func serve() {
        while Self.awaitByte(from: requests.readEnd) {
            guard let settings = state.withLock({ $0.settings }) else { continue }
            let result = read(inForce: settings)
            state.withLock { $0.result = result }
            Memory.trimHeap()
        }
        Glibc.close(requests.readEnd)
    }

    private func read(inForce settings: Settings) -> Result {
        let load = PolicyLoader().load(configurationPath: configuration)
        guard !load.hasErrors else {
            let why = load.diagnostics.first { $0.severity == .error }?.description
            return Result(reading: .refused(why ?? "no reason given"))
        }
        let settings = settings.changedLive(to: load.settings.fitted(to: features))
        return Result(
            reading: .done(load.fingerprint), fresh: (settings, Ceiling(settings: settings, rules: load.rules)))
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
