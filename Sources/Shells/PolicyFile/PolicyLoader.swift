import Configuration
import Glibc
import Policy
import System

/// The settings and rules that were read, and all problems found.
public struct LoadResult: Sendable {
    public var settings = Settings()
    /// Empty if there is any error.
    public var rules: [Rule] = []
    public var programNames = ProgramNames()
    public var diagnostics: [Diagnostic] = []
    /// The paths of the YAML files that were read, in order.
    public var filesRead: [String] = []
    /// Two readings with the same fingerprint found the same files.
    public var fingerprint: UInt64 = Fingerprint().value

    public var hasErrors: Bool { diagnostics.hasErrors }
}

/// Reads the configuration and the policy from their files.
public struct PolicyLoader: Sendable {
    public static let configurationPath = "/etc/rpcwarden/rpcwarden.yaml"
    /// Enough for one file per tenant.
    static let policyFilesMax = 1024

    private let defaultConfigurationPath: String
    private let programNamesPath: String

    public init(
        defaultConfigurationPath: String = Self.configurationPath, programNamesPath: String = "/etc/rpc"
    ) {
        self.defaultConfigurationPath = defaultConfigurationPath
        self.programNamesPath = programNamesPath
    }

    /// Reads the configuration, and the policy that it names.
    ///
    /// Without a path the default configuration is read; it may be missing, since everything in it is optional.
    /// The policy may not be missing.
    public func load(configurationPath: String? = nil) -> LoadResult {
        var loading = Loading(names: programNames)
        let path = configurationPath ?? defaultConfigurationPath
        var policyLocation = Location(file: path, line: 1, column: 1)
        if let source = loading.source(path, isOptional: configurationPath == nil) {
            policyLocation = loading.configure(from: source).policyLocation
        }
        // A configuration that can't be read doesn't say which policy it means.
        guard !loading.result.hasErrors || !loading.result.filesRead.isEmpty else { return loading.finished() }
        let policyPath = loading.result.settings.policyPath
        let files = loading.policy(policyPath, in: FileSystem.folder(of: path), namedAt: policyLocation)
        loading.parse(files)
        return loading.finished()
    }

    /// Reads only the configuration; with an error in it, the result has the default settings.
    public func loadSettings(configurationPath: String? = nil) -> LoadResult {
        var loading = Loading(names: ProgramNames())
        let path = configurationPath ?? defaultConfigurationPath
        if let source = loading.source(path, isOptional: configurationPath == nil) { loading.configure(from: source) }
        if loading.result.hasErrors { loading.result.settings = Settings() }
        return loading.finished()
    }

    /// The configuration's settings, as far as they can be read; for commands that only need to find the daemon,
    /// and must not fail or wait because of a policy.
    public func settings(configurationPath: String? = nil) -> Settings {
        var loading = Loading(names: ProgramNames())
        let path = configurationPath ?? defaultConfigurationPath
        return loading.source(path, isOptional: true).map { ParsedConfiguration($0).settings } ?? Settings()
    }

    /// Reads files of either kind; all policy files among them make one policy. A folder means its `*.yaml` files.
    ///
    /// The policy that a configuration names is not read.
    public func check(files paths: [String]) -> LoadResult {
        var loading = Loading(names: programNames)
        var policy: [SourceFile] = []
        for path in paths where !loading.result.filesRead.contains(path) {
            let place = Location(file: path, line: 1, column: 1)
            for source in loading.policy(path, in: "", namedAt: place) {
                switch FileKind(of: source) {
                case .policy: policy.append(source)
                case .configuration: loading.configure(from: source)
                }
            }
        }
        loading.parse(policy)
        return loading.finished()
    }

    /// `/etc/rpc`, or the built-in names if it can't be read.
    public var programNames: ProgramNames {
        do throws(Errno) {
            return ProgramNames(etcRPC: String(decoding: try FileSystem.bytes(of: programNamesPath), as: UTF8.self))
        } catch {
            return .builtIn
        }
    }
}

/// A load under way.
private struct Loading {
    var result = LoadResult()
    private var fingerprint = Fingerprint()

    init(names: ProgramNames) { result.programNames = names }

    /// Takes the settings of a configuration, as far as they can be read, and its diagnostics.
    @discardableResult
    mutating func configure(from source: SourceFile) -> ParsedConfiguration {
        let configuration = ParsedConfiguration(source)
        result.settings = configuration.settings
        result.diagnostics += configuration.diagnostics
        return configuration
    }

    mutating func source(_ path: String, name: String? = nil, isOptional: Bool = false) -> SourceFile? {
        do throws(Errno) {
            let bytes = try FileSystem.bytes(of: path)
            result.filesRead.append(path)
            fingerprint.add(path, bytes)
            return SourceFile(name: name ?? path, path: path, bytes: bytes)
        } catch {
            if !(isOptional && error.code == ENOENT) {
                fail("can't read \(quoted(path)): \(error)", at: Location(file: path, line: 1, column: 1))
            }
            return nil
        }
    }

    /// The files of a policy; problems with its path are reported at the place that names it.
    mutating func policy(_ path: String, in folder: String, namedAt place: Location) -> [SourceFile] {
        let whole = FileSystem.join(folder, path)
        do throws(Errno) {
            guard try FileSystem.isFolder(whole) else { return [source(whole, name: path)].compactMap { $0 } }
            let names = try Folder.names(in: whole)
            warnOfOtherNames(names, in: whole)
            let files = names.filter { $0.hasSuffix(".yaml") }
            guard !files.isEmpty else {
                fail(
                    "the folder \(quoted(whole)) holds no *.yaml", at: place,
                    hint: "without a policy everything is denied")
                return []
            }
            guard files.count <= PolicyLoader.policyFilesMax else {
                fail("the folder \(quoted(whole)) holds more than \(PolicyLoader.policyFilesMax) files", at: place)
                return []
            }
            return files.compactMap { source(FileSystem.join(whole, $0), name: FileSystem.join(path, $0)) }
        } catch {
            fail("can't read \(quoted(whole)): \(error)", at: place)
            return []
        }
    }

    private mutating func warnOfOtherNames(_ names: [String], in folder: String) {
        for name in names where name.hasSuffix(".yml") {
            let place = Location(file: FileSystem.join(folder, name), line: 1, column: 1)
            result.diagnostics.append(
                Diagnostic(.warning, at: place, "not read: its name doesn't end in .yaml", hint: "rename it"))
        }
    }

    mutating func parse(_ files: [SourceFile]) {
        guard !files.isEmpty else { return }
        let policy = ParsedPolicy(files, names: result.programNames)
        result.rules = policy.rules
        result.diagnostics += policy.diagnostics
    }

    func finished() -> LoadResult {
        var finished = result
        if finished.hasErrors { finished.rules = [] }
        finished.fingerprint = fingerprint.value
        return finished
    }

    private mutating func fail(_ message: String, at place: Location, hint: String? = nil) {
        result.diagnostics.append(Diagnostic(.error, at: place, message, hint: hint))
    }
}

/// Whether a file is a policy or a configuration, judged by its keys.
private enum FileKind {
    case policy
    case configuration

    /// The kind with more of its keys in the file; failing that, the kind with a key similar to one of the file's.
    init(of source: SourceFile) {
        var findings = Findings()
        guard case .mapping(let entries)? = YAMLDocument.root(of: source, &findings)?.content else {
            self = .configuration
            return
        }
        let keys = entries.map(\.key)
        let policyKeys = keys.count { ParsedPolicy.keys.contains($0) }
        let configurationKeys = keys.count { ParsedConfiguration.keys.contains($0) }
        if policyKeys == configurationKeys, policyKeys == 0 {
            let isClose = keys.contains { Suggestion.closest(to: $0, among: ParsedPolicy.keys) != nil }
            self = isClose ? .policy : .configuration
        } else {
            self = policyKeys >= configurationKeys ? .policy : .configuration
        }
    }
}
