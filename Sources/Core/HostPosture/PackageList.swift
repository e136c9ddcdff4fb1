/// Reader of dpkg's status file.
public enum PackageList {
    /// Whether `package` is installed, and the installed packages that depend on it.
    public static func package(_ package: String, dpkgStatus text: String) -> HostFacts.Package {
        var isInstalled = false
        var needing: [String] = []
        for fields in installed(in: text) {
            guard let name = fields.value(of: "Package:") else { continue }
            if name == package { isInstalled = true }
            let depends = ["Depends:", "Pre-Depends:"].compactMap { fields.value(of: $0) }
            if depends.contains(where: { Self.names(in: $0).contains(package) }) { needing.append(name) }
        }
        return isInstalled ? .installed(neededBy: needing.sorted()) : .absent
    }

    /// The version of `package`, if it is installed.
    public static func version(of package: String, dpkgStatus text: String) -> String? {
        installed(in: text).first { $0.value(of: "Package:") == package }?.value(of: "Version:")
    }

    /// The lines of each installed package.
    private static func installed(in text: String) -> some Sequence<[Substring]> {
        text.split(separator: "\n\n").lazy.map { $0.split(separator: "\n") }
            .filter { $0.value(of: "Status:")?.hasSuffix(" installed") == true }
    }

    /// The package names in `a (>= 1), b | c:any`. An alternative counts too: whether the other package suffices
    /// is not known.
    private static func names(in depends: String) -> Set<String> {
        Set(
            depends.split { $0 == "," || $0 == "|" }.map { $0.trimmed.prefix { $0 != " " && $0 != ":" && $0 != "(" } }
                .map(String.init))
    }
}

extension [Substring] {
    /// The value of the field, whose name ends with a colon.
    fileprivate func value(of field: String) -> String? {
        first { $0.hasPrefix(field) }.map { $0.dropFirst(field.count).trimmed }
    }
}
