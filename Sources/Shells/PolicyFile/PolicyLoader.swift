import Addresses
import Bundles
import Configuration
import Glibc
import Policy
import Signatures
import System

/// The settings and rules that were read, and all problems found.
public struct LoadResult: Sendable {
    public var settings = Settings()
    /// Empty if there is any error.
    public var rules: [Rule] = []
    public var programNames = ProgramNames()
    public var diagnostics: [Diagnostic] = []
    /// The fleet's bundle among the rules.
    public var bundle: AcceptedBundle?
    /// The key that signed it, as minisign shows it.
    public var bundleKey: String?
    /// No older bundle may follow this one; also if none is asked for now.
    public var lastBundle: AcceptedBundle?
    /// The first error of the fleet's bundle, its keys or its ceiling; also if the kept bundle took its place.
    public var bundleRefusal: String?
    /// The bundle that rpcwarden-fleet fetched, if its rules are among these; whoever accepts it keeps it.
    public var fetchedBundle: [UInt8]?
    /// The paths of the files that were read, in order.
    public var filesRead: [String] = []
    public var hasUnreadableFile = false
    /// Whether the file of public keys holds something else.
    public var hasFaultyKeys = false
    /// What the file system answered; a ``PolicyLoader`` that reads from it has the same result.
    public var answers: FilesRead = [:]

    public init() {}

    public var hasErrors: Bool { diagnostics.hasErrors }
}

/// Reads the configuration and the policy from their files.
public struct PolicyLoader: Sendable {
    public static let configurationPath = "/etc/rpcwarden/rpcwarden.yaml"
    /// Enough for one file per tenant.
    static let policyFilesMax = 1024
    /// Upper bound of all files together: a reload passes them from one process to the other.
    static let bytesMax = 64 << 20

    private let files: FilesRead?
    private let defaultConfigurationPath: String
    private let programNamesPath: String
    private let ownAddresses: Set<IPAddress>
    private let lastBundle: AcceptedBundle?
    private let keptBundlePath: String?

    /// - Parameters:
    ///   - files: the answers of another reading; `nil`: the file system is asked.
    ///   - ownAddresses: this host's addresses, which no server behind it may have; empty if they are unknown.
    ///   - lastBundle: the fleet's bundle that was accepted last: an older one is refused.
    ///   - keptBundlePath: that bundle itself, to be taken where a fetched one is refused or gone; `nil`: it isn't taken.
    public init(
        reading files: FilesRead? = nil, ownAddresses: Set<IPAddress> = [], after lastBundle: AcceptedBundle? = nil,
        keptAt keptBundlePath: String? = nil, defaultConfigurationPath: String = Self.configurationPath,
        programNamesPath: String = "/etc/rpc"
    ) {
        self.keptBundlePath = keptBundlePath
        self.files = files
        self.ownAddresses = ownAddresses
        self.lastBundle = lastBundle
        self.defaultConfigurationPath = defaultConfigurationPath
        self.programNamesPath = programNamesPath
    }

    /// Reads the configuration, and the policy that it names.
    ///
    /// Without a path the default configuration is read; it may be missing, since everything in it is optional.
    /// The policy may not be missing.
    public func load(configurationPath: String? = nil) -> LoadResult {
        var loading = Loading(files, names: programNamesPath, ownAddresses)
        loading.hasConfiguration = true
        let path = configurationPath ?? defaultConfigurationPath
        var policyLocation = Location(file: path, line: 1, column: 1)
        if let source = loading.source(path, isOptional: configurationPath == nil) {
            policyLocation = loading.configure(from: source).policyLocation
        }
        let bundle = loading.result.settings.fleet?.policy
        loading.result.lastBundle = lastBundle
        // A configuration that can't be read doesn't say which policy it means.
        guard !loading.result.hasErrors || !loading.result.filesRead.isEmpty else { return loading.finished() }
        let (policyPath, folder) = (loading.result.settings.policyPath, FileSystem.folder(of: path))
        if bundle?.mode != .replace {
            loading.parse(loading.policy(policyPath, in: folder, namedAt: policyLocation))
        }
        if let bundle { loading.parse(bundle, in: folder, after: lastBundle, orKeptAt: keptBundlePath) }
        loading.warnOfRules()
        return loading.finished()
    }

    /// Reads only the configuration; with an error in it, the result has the default settings.
    public func loadSettings(configurationPath: String? = nil) -> LoadResult {
        var loading = Loading(files)
        let path = configurationPath ?? defaultConfigurationPath
        if let source = loading.source(path, isOptional: configurationPath == nil) { loading.configure(from: source) }
        if loading.result.hasErrors { loading.result.settings = Settings() }
        return loading.finished()
    }

    /// The configuration's settings, as far as they can be read; for commands that only need to find the daemon,
    /// and must not fail or wait because of a policy.
    public func settings(configurationPath: String? = nil) -> Settings {
        var loading = Loading(files)
        let path = configurationPath ?? defaultConfigurationPath
        return loading.source(path, isOptional: true).map { ParsedConfiguration($0).settings } ?? Settings()
    }

    /// A path that the configuration names: relative ones are relative to its folder.
    public func path(_ named: String, inConfiguration configurationPath: String?) -> String {
        FileSystem.join(FileSystem.folder(of: configurationPath ?? defaultConfigurationPath), named)
    }

    /// Reads files of either kind; all policy files among them make one policy. A folder means its `*.yaml` files.
    ///
    /// The policy that a configuration names is not read.
    public func check(files paths: [String]) -> LoadResult {
        var loading = Loading(files, names: programNamesPath, ownAddresses)
        var policy: [SourceFile] = []
        for path in paths where !loading.result.filesRead.contains(path) {
            loading.readAnything(at: path)
            let place = Location(file: path, line: 1, column: 1)
            for source in loading.policy(path, in: "", namedAt: place) {
                switch FileKind(of: source) {
                case .policy: policy.append(source)
                case .configuration: loading.configure(from: source)
                }
            }
        }
        loading.parse(policy)
        loading.warnOfRules()
        return loading.finished()
    }

    /// Reads one bundle alone, as this host would.
    ///
    /// - Parameter keys: the file of the public keys that count instead of the configuration; the group and the ceiling
    ///   of the configuration then don't count either.
    public func verify(bundle path: String, keys: String? = nil, configurationPath: String? = nil) -> LoadResult {
        var loading = Loading(files, names: programNamesPath, ownAddresses)
        var bundle = Settings.Fleet.Bundle()
        if let keys {
            loading.readAnything(at: keys)
            bundle.keysPath = keys
        } else {
            let configurationPath = configurationPath ?? defaultConfigurationPath
            guard let source = loading.source(configurationPath) else { return loading.finished() }
            loading.configure(from: source)
            guard !loading.result.hasErrors else { return loading.finished() }
            guard let configured = loading.result.settings.fleet?.policy else {
                loading.fail(
                    "there is no fleet.policy", at: Location(file: configurationPath, line: 1, column: 1),
                    hint: "name the public keys with --keys")
                return loading.finished()
            }
            bundle = configured
            let folder = FileSystem.folder(of: configurationPath)
            bundle.keysPath = FileSystem.join(folder, bundle.keysPath)
            bundle.ceilingPath = bundle.ceilingPath.map { FileSystem.join(folder, $0) }
        }
        bundle.path = path
        loading.parse(bundle, in: "", after: lastBundle, isAtHome: keys == nil)
        loading.warnOfRules()
        return loading.finished()
    }

    /// `/etc/rpc`, or the built-in names if it can't be read.
    public var programNames: ProgramNames { Loading(files, names: programNamesPath).result.programNames }
}

/// A load under way.
private struct Loading {
    var result = LoadResult()
    private let mayAsk: Bool
    private let ownAddresses: Set<IPAddress>
    /// Whether the configuration is known, even if it is a missing one.
    var hasConfiguration = false
    /// Where the configuration names each server.
    private var serverPlaces: [String: Location] = [:]
    /// Where `fleet.policy`'s keys are.
    private var bundlePlaces: [String: Location] = [:]
    /// The paths of the policy's files, by their names in rules.
    private var policyPaths: [String: String] = [:]
    private var firstPolicyPath: String?
    private var bytesRead = 0

    init(_ files: FilesRead?, names path: String? = nil, _ ownAddresses: Set<IPAddress> = []) {
        self.ownAddresses = ownAddresses
        result.answers = files ?? [:]
        mayAsk = files == nil
        guard let path else { return }
        if case .file(let bytes) = answer(for: path) {
            result.programNames = ProgramNames(etcRPC: String(decoding: bytes, as: UTF8.self))
        } else {
            result.programNames = .builtIn
        }
    }

    /// A pipe or a device is read too, however long it takes: the user of a command named it.
    mutating func readAnything(at path: String) { _ = answer(for: path, as: .anything) }

    /// The file system is asked once for each path.
    private mutating func answer(for path: String, as kind: FileSystem.Kind = .fileOrFolder) -> FileAnswer {
        if let answer = result.answers[path] { return answer }
        var answer = mayAsk ? FileSystem.answer(for: path, as: kind) : .failure(errno: ENOENT)
        if case .file(let bytes) = answer {
            bytesRead += bytes.count
            if bytesRead > PolicyLoader.bytesMax { answer = .failure(errno: EFBIG) }
        }
        result.answers[path] = answer
        return answer
    }

    /// Takes the settings of a configuration, as far as they can be read, and its diagnostics.
    @discardableResult
    mutating func configure(from source: SourceFile) -> ParsedConfiguration {
        let configuration = ParsedConfiguration(source, ownAddresses: ownAddresses)
        hasConfiguration = true
        result.settings = configuration.settings
        result.diagnostics += configuration.diagnostics
        serverPlaces = configuration.serverLocations
        bundlePlaces = configuration.bundleLocations
        return configuration
    }

    mutating func source(_ path: String, name: String? = nil, isOptional: Bool = false) -> SourceFile? {
        let number: Int32
        switch answer(for: path) {
        case .file(let bytes):
            result.filesRead.append(path)
            return SourceFile(name: name ?? path, path: path, bytes: bytes)
        case .folder: number = EISDIR
        case .failure(let errno): number = errno
        }
        if !(isOptional && number == ENOENT) {
            unreadable(path, number, at: Location(file: path, line: 1, column: 1))
        }
        return nil
    }

    /// The files of a policy; problems with its path are reported at the place that names it.
    mutating func policy(_ path: String, in folder: String, namedAt place: Location) -> [SourceFile] {
        let whole = FileSystem.join(folder, path)
        switch answer(for: whole) {
        case .file: return [source(whole, name: path)].compactMap { $0 }
        case .failure(let errno):
            let isMissing = errno == ENOENT && whole != place.file
            unreadable(
                whole, errno, at: place,
                hint: isMissing ? "write a policy, or have import-exports or learn draft one" : nil)
        case .folder(let names) where names.count > PolicyLoader.policyFilesMax:
            fail("the folder \(quoted(whole)) contains more than \(PolicyLoader.policyFilesMax) files", at: place)
        case .folder(let names):
            warnOfOtherNames(names, in: whole)
            let files = names.filter { $0.hasSuffix(".yaml") }
            if !files.isEmpty {
                return files.compactMap { source(FileSystem.join(whole, $0), name: FileSystem.join(path, $0)) }
            }
            fail(
                "the folder \(quoted(whole)) contains no *.yaml file", at: place,
                hint: "without a policy everything is denied")
        }
        return []
    }

    private mutating func unreadable(_ path: String, _ number: Int32, at place: Location, hint: String? = nil) {
        result.hasUnreadableFile = true
        fail("can't read \(quoted(path)): \(Errno(number))", at: place, hint: hint ?? Self.remedy(number))
    }

    private static func remedy(_ number: Int32) -> String? {
        switch number {
        case EFBIG: "all files together may have at most \(PolicyLoader.bytesMax >> 20) MiB"
        case EINVAL: "it must be a file, no pipe and no device"
        case EOVERFLOW: "a folder may have at most \(FileSystem.folderEntriesMax) entries"
        default: nil
        }
    }

    private mutating func warnOfOtherNames(_ names: [String], in folder: String) {
        for name in names where name.hasSuffix(".yml") {
            result.diagnostics.append(.misnamed(FileSystem.join(folder, name)))
        }
    }

    mutating func parse(_ files: [SourceFile]) {
        guard !files.isEmpty else { return }
        result.rules += rules(of: files)
    }

    private mutating func rules(of files: [SourceFile]) -> [Rule] {
        let policy = ParsedPolicy(
            files, names: result.programNames, servers: hasConfiguration ? servers : nil, warns: false)
        result.diagnostics += policy.diagnostics
        firstPolicyPath = firstPolicyPath ?? files.first?.path
        policyPaths.merge(files.map { ($0.name, $0.path) }) { first, _ in first }
        return policy.rules
    }

    /// Rules of all files together: what one lacks another may have.
    mutating func warnOfRules() {
        guard !result.hasErrors, !policyPaths.isEmpty else { return }
        var findings = Findings()
        ParsedPolicy.warn(
            of: result.rules, policyPaths, first: firstPolicyPath, servers: hasConfiguration ? servers : nil, &findings)
        result.diagnostics += findings.diagnostics.inReadingOrder(of: result.filesRead)
        warnOfServers(without: result.rules)
    }

    // MARK: A fleet's bundle

    /// Takes the kept bundle where the fetched one is refused or gone.
    ///
    /// Whoever puts the fetched one there can't judge it as this host does: without the kept one nothing would start any
    /// more. It is judged as any other, and has to be the very one that was accepted last.
    mutating func parse(
        _ bundle: Settings.Fleet.Bundle, in folder: String, after last: AcceptedBundle?, orKeptAt path: String?
    ) {
        var other = self
        let before = result.diagnostics.count
        parse(bundle, in: folder, after: last)
        guard bundle.path == nil, let path, let last, last.group == bundle.group,
            let error = result.diagnostics[before...].first(where: { $0.severity == .error })
        else { return }
        other.parse(bundle, in: folder, after: last, keptAt: path)
        guard !other.result.diagnostics[before...].hasErrors, let kept = other.result.bundle,
            kept.serial == last.serial, kept.digest == last.digest
        else { return }
        let answers = result.answers
        self = other
        // Who reads from the answers has to see why the other one was refused.
        result.answers.merge(answers) { first, _ in first }
        result.bundleRefusal = error.description
        result.fetchedBundle = nil
        result.diagnostics.append(
            Diagnostic(
                .warning, at: error.location,
                "the fleet's policy is refused, and serial \(kept.serial), accepted before, stays: \(error.message)",
                hint: error.hint))
    }

    /// - Parameters:
    ///   - folder: the configuration's.
    ///   - isAtHome: whether the limits of this host count.
    ///   - keptPath: the file that is read in place of the bundle's.
    mutating func parse(
        _ bundle: Settings.Fleet.Bundle, in folder: String, after last: AcceptedBundle?, isAtHome: Bool = true,
        keptAt keptPath: String? = nil
    ) {
        let before = result.diagnostics.count
        defer {
            result.bundleRefusal = result.diagnostics[before...].first { $0.severity == .error }?.description
        }
        guard let keys = keys(bundle, in: folder), var limit = limit(bundle, in: folder),
            let source = keptPath.map({ keptBundle(bundle, at: $0) }) ?? bundleSource(bundle, in: folder, after: last)
        else { return }
        do throws(ParsedBundle.Problem) {
            let parsed = try ParsedBundle(source, keys: keys, of: isAtHome ? bundle : nil, after: last)
            let rules = rules(of: parsed.files)
            guard rules.count <= PolicyBundle.rulesMax else {
                return fail(
                    "the bundle has \(rules.count) rules", at: Location(file: source.path, line: 1, column: 1),
                    hint: "use at most \(PolicyBundle.rulesMax)")
            }
            var findings = Findings()
            if isAtHome { limit.examine(rules, policyPaths, &findings) }
            result.diagnostics += findings.diagnostics
            result.bundle = parsed.accepted
            result.lastBundle = parsed.accepted
            result.bundleKey = "\(parsed.key)"
            if bundle.path == nil { result.fetchedBundle = source.bytes }
            result.rules += rules.map { rule in
                var rule = rule
                rule.isFromBundle = true
                return rule
            }
        } catch {
            fail(error.message, at: error.location, hint: error.hint)
        }
    }

    /// Where the configuration has the key; without one, the file itself.
    private func place(_ key: String, _ path: String) -> Location {
        bundlePlaces[key] ?? bundlePlaces["group"] ?? Location(file: path, line: 1, column: 1)
    }

    private mutating func file(_ path: String, of key: String, in folder: String) -> SourceFile? {
        let whole = FileSystem.join(folder, path)
        if case .failure(let number) = answer(for: whole, as: .file) {
            unreadable(whole, number, at: place(key, whole))
            return nil
        }
        return source(whole, name: FileSystem.lastName(of: whole))
    }

    private mutating func keys(_ bundle: Settings.Fleet.Bundle, in folder: String) -> [PublicKey]? {
        guard let source = file(bundle.keysPath, of: "keys", in: folder) else { return nil }
        do throws(PublicKey.Fault) {
            return try PublicKey.keys(inFile: source.bytes)
        } catch {
            result.hasFaultyKeys = true
            fail(error.what, at: Location(file: source.path, line: error.line, column: 1))
            return nil
        }
    }

    private mutating func limit(_ bundle: Settings.Fleet.Bundle, in folder: String) -> BundleLimit? {
        guard let path = bundle.ceilingPath else { return BundleLimit(names: result.programNames) }
        guard let source = file(path, of: "ceiling", in: folder) else { return nil }
        // A ceiling may be about more servers than this host has.
        let policy = ParsedPolicy([source], names: result.programNames, warns: false)
        var findings = Findings()
        findings.append(policy.diagnostics.filter { $0.severity == .error })
        let limit = BundleLimit(source, policy.rules, names: result.programNames, &findings)
        result.diagnostics += findings.diagnostics
        return findings.diagnostics.hasErrors ? nil : limit
    }

    private mutating func bundleSource(
        _ bundle: Settings.Fleet.Bundle, in folder: String, after last: AcceptedBundle?
    ) -> SourceFile? {
        guard let path = bundle.path else { return fetchedBundle(bundle, after: last) }
        let whole = FileSystem.join(folder, path)
        if case .folder = answer(for: whole) {
            return file(FileSystem.join(whole, bundle.fileName), of: "bundle", in: "")
        }
        return file(whole, of: "bundle", in: "")
    }

    /// Named as the fetched one, so that rules keep their labels.
    private mutating func keptBundle(_ bundle: Settings.Fleet.Bundle, at path: String) -> SourceFile? {
        if case .failure(let number) = answer(for: path, as: .file) {
            unreadable(path, number, at: Location(file: path, line: 1, column: 1))
            return nil
        }
        return source(path, name: bundle.fileName)
    }

    /// Before rpcwarden-fleet has fetched the first one there is none.
    private mutating func fetchedBundle(_ bundle: Settings.Fleet.Bundle, after last: AcceptedBundle?) -> SourceFile? {
        let path = FileSystem.join(Settings.Fleet.Bundle.fetchedFolder, bundle.fileName)
        guard case .failure(ENOENT) = answer(for: path, as: .file) else { return file(path, of: "group", in: "") }
        // Whoever can remove the file could else take away what was permitted.
        if let last, last.group == bundle.group || bundle.mode == .replace {
            fail(
                "\(quoted(path)) is gone, and serial \(last.serial) was accepted before", at: place("group", path),
                hint: "rpcwarden-fleet fetches it anew; or remove \"fleet\" from the configuration")
            return nil
        }
        let effect = bundle.mode == .replace ? "everything is denied" : "only the rules of this host are in force"
        result.diagnostics.append(
            Diagnostic(
                .warning, at: place("group", path), "there is no \(quoted(path)) yet: \(effect)",
                hint: "rpcwarden-fleet puts it there; for a file of your own name it in fleet.policy.bundle"))
        return nil
    }

    private mutating func warnOfServers(without rules: [Rule]) {
        for name in servers {
            guard !rules.contains(where: { $0.at.covers(name) }), let place = serverPlaces[name] else { continue }
            result.diagnostics.append(
                Diagnostic(
                    .warning, at: place, "no rule is about server \(quoted(name)): everything there is denied",
                    hint: "name it in a rule's \"at\", or leave it out"))
        }
    }

    private var servers: [String] { result.settings.gateway?.servers.map(\.name) ?? [] }

    func finished() -> LoadResult {
        var finished = result
        if finished.hasErrors { finished.rules = [] }
        return finished
    }

    mutating func fail(_ message: String, at place: Location, hint: String? = nil) {
        result.diagnostics.append(Diagnostic(.error, at: place, message, hint: hint))
    }
}

/// Whether a file is a policy or a configuration, judged by its keys.
private enum FileKind {
    case policy
    case configuration

    /// The kind with more of its keys in the file; failing that, the kind with a key similar to one of the file's. A file
    /// that is no YAML may be a policy: then nothing can be missing in the others.
    init(of source: SourceFile) {
        var findings = Findings()
        let root = YAMLDocument.root(of: source, &findings)
        guard case .mapping(let entries)? = root?.content else {
            self = root == nil && findings.diagnostics.hasErrors ? .policy : .configuration
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
