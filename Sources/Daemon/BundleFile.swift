import Bundles
import System

/// The file that remembers which of the fleet's bundles was accepted last, so that after a restart no older one is.
struct BundleFile: Sendable {
    private let file: StateFile

    init(folder: String) { file = StateFile(folder: folder, name: "bundle", ownsFolder: true) }

    struct Broken: Error, CustomStringConvertible {
        var path: String
        var description: String { "\(path) isn't what rpcwarden wrote; the daemon replaces it" }
    }

    /// - Returns: `nil` if none was accepted yet.
    /// - Throws: ``StateFileError`` or ``Broken``.
    func read() throws -> AcceptedBundle? {
        guard let bytes = try file.contents(max: AcceptedBundle.textBytesMax) else { return nil }
        guard let bundle = AcceptedBundle(text: bytes) else { throw Broken(path: file.path) }
        return bundle
    }

    func write(_ bundle: AcceptedBundle) throws(StateFileError) { try file.write(bundle.text) }
}

/// The fleet's bundle that was accepted last, as rpcwarden-fleet had fetched it.
///
/// A start takes it where the fetched one has become one that this host refuses. Whoever reads it verifies it as any other.
struct KeptBundle: Sendable {
    private let file: StateFile

    init(folder: String) { file = StateFile(folder: folder, name: "bundle.accepted", ownsFolder: true) }

    var path: String { file.path }

    /// Nothing is written if the file has these bytes.
    func write(_ bytes: [UInt8]) throws(StateFileError) {
        do {
            if try file.contents(max: bytes.count) == bytes { return }
        } catch {
            // It is replaced.
        }
        try file.write(bytes)
    }
}

extension AcceptedBundle {
    /// What is to be said of a bundle that has expired, or `nil`.
    public var expiryNote: String? {
        guard let notAfter, hasExpired(at: HostClock.wallClock()) else { return nil }
        return "warning: the fleet's policy, \(description), was right until \(notAfter)"
    }
}

/// The bundle that the daemon of this host accepted last, as far as the caller may read it.
public func lastBundle() -> AcceptedBundle? {
    do {
        return try StateFolder().bundleFile.read()
    } catch {
        return nil
    }
}
