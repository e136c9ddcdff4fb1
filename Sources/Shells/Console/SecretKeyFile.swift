import Glibc
import Signatures

/// A file with a secret key of minisign's, as a command's `--key` names it.
public struct SecretKeyFile {
    public let path: String

    public init(path: String) { self.path = path }

    /// Asks for the password, if the key has one.
    public func read() throws -> SecretKey {
        let bytes: [UInt8]
        do throws(InputError) {
            bytes = try InputFile(path: path).readAll(max: 4096)
        } catch {
            throw CommandFailure.usage("--key: can't read \(error.message); name a secret key, as minisign -G makes it")
        }
        do throws(SecretKey.Fault) {
            return try SecretKey(file: bytes, password: Self.password)
        } catch {
            throw CommandFailure.usage("--key: \"\(path)\": \(error)")
        }
    }

    /// From the terminal, without showing it, or else the first line of standard input.
    private static func password() -> [UInt8]? {
        guard let text = getpass("password of the key: ") else { return nil }
        let bytes = Array(String(cString: text).utf8)
        memset(text, 0, bytes.count)
        return bytes
    }
}
