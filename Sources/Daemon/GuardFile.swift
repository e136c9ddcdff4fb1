import Gate
import Glibc
import System

/// The file that holds the saved guard.
struct GuardFile: Sendable {
    private let file: StateFile

    init(folder: String) { file = StateFile(folder: folder, name: "guard", ownsFolder: true) }

    var path: String { file.path }

    /// Why the saved guard can't be read.
    enum Unreadable: Error, CustomStringConvertible {
        case file(StateFileError)
        case text(path: String, SavedGuardText.Fault)

        /// A folder, a symbolic link, and what else is no regular file.
        private static let tellNoFile = [EISDIR, ELOOP, EINVAL]

        var description: String {
            switch self {
            case .file(let error) where Self.tellNoFile.contains(error.errno):
                "\(error); remove it: the guard is saved in a regular file of that name"
            case .file(let error): "\(error)"
            case .text(let path, let fault): "\(path): \(fault); the daemon replaces the file"
            }
        }
    }

    /// - Returns: `nil` if there is no saved guard yet.
    func read(memory: Bool = true) throws(Unreadable) -> SavedGuard? {
        let bytes: [UInt8]?
        do {
            bytes = try file.contents(max: SavedGuardText.bytesMax)
        } catch {
            throw .file(error)
        }
        guard let bytes else { return nil }
        do {
            return try SavedGuardText.read(bytes, memory: memory)
        } catch {
            throw .text(path: path, error)
        }
    }

    /// Writes a temporary file, and renames it once it is on the disk.
    func write(_ bytes: [UInt8]) throws(StateFileError) { try file.write(bytes) }
}
