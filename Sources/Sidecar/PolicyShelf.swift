import Bundles
import Configuration
import FleetRecords
import Glibc
import NIOCore
import NIOPosix
import Signatures
import System

/// Why a bundle was not stored.
struct PolicyShelfError: Error, CustomStringConvertible {
    var description: String
}

/// The folder with the policy of this node's group, which the daemon reads and verifies again.
struct PolicyShelf: Sendable {
    let fleet: String
    let group: String
    /// The public keys; `nil`: the daemon named none.
    let keysPath: String?
    private let file: StateFile

    init(folder: String, fleet: String, group: String, keysPath: String?) {
        self.fleet = fleet
        self.group = group
        self.keysPath = keysPath
        var bundle = Settings.Fleet.Bundle()
        bundle.group = group
        // The daemon is another user.
        file = StateFile(folder: folder, name: bundle.fileName, mode: 0o644, ownsFolder: true)
    }

    /// The serial of the file; 0: there is none that this fleet's node could use.
    func serial() throws -> UInt64 {
        guard let bytes = try file.contents(max: PolicyBundle.bytesMax) else { return 0 }
        do {
            let bundle = try Self.bundle(bytes, verifiedBy: nil)
            return bundle.fleet == fleet && bundle.group == group ? bundle.serial : 0
        } catch {
            return 0
        }
    }

    /// Stores the bytes, if they are what was announced, and the daemon would believe their signature.
    func store(_ bytes: [UInt8], _ announcement: PolicyAnnouncement) throws {
        guard SHA256.digest(of: bytes) == announcement.sha256 else {
            throw PolicyShelfError(description: "serial \(announcement.serial) has another hash than was announced")
        }
        let bundle = try Self.bundle(bytes, verifiedBy: try keys())
        guard bundle.fleet == fleet, bundle.group == group, bundle.serial == announcement.serial else {
            throw PolicyShelfError(
                description: "serial \(announcement.serial) of group \(group) holds a bundle of fleet \(bundle.fleet), "
                    + "group \(bundle.group), serial \(bundle.serial)")
        }
        try file.write(bytes)
    }

    private func keys() throws -> [PublicKey]? {
        guard let keysPath else { return nil }
        let path = StateFile(path: keysPath)
        guard let bytes = try path.contents(max: Self.keysBytesMax) else {
            throw PolicyShelfError(description: "there are no keys at \"\(keysPath)\"")
        }
        do throws(PublicKey.Fault) {
            return try PublicKey.keys(inFile: bytes)
        } catch {
            throw PolicyShelfError(description: "\(keysPath):\(error.line): \(error.what)")
        }
    }

    private static let keysBytesMax = 64 << 10

    /// - Parameter keys: `nil`: the signature is not verified.
    static func bundle(_ bytes: [UInt8], verifiedBy keys: [PublicKey]?) throws -> PolicyBundle {
        let signed = try SignedBundle(bytes)
        if let keys {
            try Signature(
                text: signed.signature, trustedComment: signed.trustedComment,
                commentSignature: signed.commentSignature
            ).verify(signed.container, by: keys)
        }
        return try PolicyBundle(container: signed.container)
    }
}
