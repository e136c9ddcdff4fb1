import Glibc

public enum Folder {
    /// The names in a folder except hidden ones, sorted by their bytes.
    ///
    /// - Parameter entriesMax: how many entries are read.
    /// - Throws: `EOVERFLOW` if there are more.
    public static func names(in path: String, max entriesMax: Int = .max) throws(Errno) -> [String] {
        guard let stream = opendir(path) else { throw Errno() }
        defer { closedir(stream) }
        var names: [String] = []
        var entries = 0
        errno = 0
        while let entry = readdir(stream) {
            entries += 1
            guard entries <= entriesMax else { throw Errno(EOVERFLOW) }
            let capacity = MemoryLayout.size(ofValue: entry.pointee.d_name)
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: capacity) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        guard errno == 0 else { throw Errno() }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }
}
