import Glibc
import Testing

/// A file system that hangs: whoever looks up a name in it waits, until the folder beside it has a file of that name.
final class HangingFolder {
    private let folder: String
    private let output: UnsafeMutablePointer<FILE>
    private let pid: pid_t

    init(in parent: String) throws {
        folder = parent + "/hangs"
        let script = #filePath.split(separator: "/").dropLast(4).joined(separator: "/") + "/scripts/lab.d/hang.py"
        output = try #require(popen("exec python3 /\(script) \(folder) \(parent)", "r"))
        let words = Self.line(of: output).split(separator: " ")
        pid = try #require(words.first == "mounted" ? pid_t(words[1]) : nil)
    }

    deinit {
        umount2(folder, Int32(MNT_DETACH))
        kill(pid, SIGKILL)
        pclose(output)
    }

    func path(_ name: String) -> String { folder + "/" + name }

    /// The next thing that happens there.
    func line() -> String { Self.line(of: output) }

    private static func line(of output: UnsafeMutablePointer<FILE>) -> String {
        var bytes: [UInt8] = []
        while true {
            let byte = fgetc(output)
            guard byte >= 0, byte != 0x0a else { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(UInt8(byte))
        }
    }
}
