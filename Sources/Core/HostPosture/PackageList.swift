/// Reader of dpkg's status file.
public enum PackageList {
    /// Whether `package` is installed, and the installed packages that depend on it.
    public static func package(_ package: String, dpkgStatus text: String) -> HostFacts.Package {
        var isInstalled = false
        var needing: [String] = []
        for paragraph in text.split(separator: "\n\n") {
            var name = ""
            var isThere = false
            var depends = ""
            for line in paragraph.split(separator: "\n") {
                if let value = line.value(of: "Package:") { name = value }
                if let value = line.value(of: "Status:") { isThere = value.hasSuffix(" installed") }
                for field in ["Depends:", "Pre-Depends:"] {
                    if let value = line.value(of: field) { depends += "," + value }
                }
            }
            guard isThere else { continue }
            if name == package { isInstalled = true }
            if Self.names(in: depends).contains(package) { needing.append(name) }
        }
        return isInstalled ? .installed(neededBy: needing.sorted()) : .absent
    }

    /// The package names in `a (>= 1), b | c:any`. An alternative counts too: whether the other package suffices
    /// is not known.
    private static func names(in depends: String) -> Set<String> {
        Set(
            depends.split { $0 == "," || $0 == "|" }.map { $0.trimmed.prefix { $0 != " " && $0 != ":" && $0 != "(" } }
                .map(String.init))
    }
}

extension Substring {
    fileprivate func value(of field: String) -> String? {
        hasPrefix(field) ? dropFirst(field.count).trimmed : nil
    }
}
