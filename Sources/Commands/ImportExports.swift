import ArgumentParser
import Console
import PolicyDrafts
import PolicyFile

struct ImportExports: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draft a policy from exports(5), on stdout.",
        discussion: """
            Clients that a policy can't express (wildcards, netgroups, names without a domain, …) become a comment and a \
            warning on stderr, never a permission. A line that can't be parsed is left out of the draft, and the exit \
            status is 2. If a file can't be parsed to its end, no draft is printed. Review the draft before you put it \
            into policy.d/.
            """)

    private static let defaultFile = "/etc/exports"
    private static let defaultFolder = "/etc/exports.d"

    @OptionGroup var configuration: ConfigurationOption

    @Option(
        help: ArgumentHelp(
            "The files are the exports of this server behind the gateway, copied here: the rules get its name in `at`.",
            valueName: "server"))
    var at: String?

    @Argument(
        help: ArgumentHelp(
            "Files in the format of exports(5), or folders of *.exports (default: /etc/exports and /etc/exports.d).",
            valueName: "file"), completion: .file())
    var files: [String] = []

    func run() throws {
        if let at { try checkServer(at) }
        let paths = try self.paths()
        let draft = ExportsDraft(try paths.map(source), at: at)
        for error in draft.errors { writeError(error) }
        guard draft.isWhole else {
            throw CommandFailure.usage(
                "no draft: \(paths.joined(separator: ", ")) can't be parsed to the end; correct the errors above")
        }
        try printPolicy(draft.policy, warnings: draft.warnings)
        guard draft.errors.isEmpty else {
            throw CommandFailure.usage(
                "the draft lacks lines that can't be parsed: \(draft.errors.count) errors; correct the errors above")
        }
    }

    /// The files of this host tell nothing of another one.
    private func checkServer(_ name: String) throws {
        let settings = try configuration.settings()
        if let refusal = settings.refusal(ofServerTerm: name) {
            throw CommandFailure.usage(refusal)
        }
        guard files.isEmpty else { return }
        throw CommandFailure.usage(
            "--at \(name) needs the server's exports: copy its /etc/exports here, and name the copy")
    }

    private func paths() throws -> [String] {
        guard files.isEmpty else {
            return try files.flatMap { InputFile.isFolder($0) ? try Self.exports(in: $0) : [$0] }
        }
        let folder = InputFile.isFolder(Self.defaultFolder) ? try Self.exports(in: Self.defaultFolder) : []
        // nfs-utils works without either.
        let file = InputFile.exists(Self.defaultFile) || folder.isEmpty ? [Self.defaultFile] : []
        return file + folder
    }

    /// exports(5): names that don't end in `.exports`, or begin with a dot, are ignored.
    private static func exports(in folder: String) throws -> [String] {
        do throws(InputError) {
            let names = try InputFile.names(in: folder).filter { $0.hasSuffix(".exports") }
            return names.map { folder.hasSuffix("/") ? folder + $0 : "\(folder)/\($0)" }
        } catch {
            throw unreadable(error)
        }
    }

    private func source(_ path: String) throws -> ExportsDraft.Source {
        do throws(InputError) {
            let bytes = try InputFile(path: path).readAll(max: SourceFile.bytesMax)
            return ExportsDraft.Source(name: path, file: ExportsFile(bytes))
        } catch {
            throw Self.unreadable(error)
        }
    }

    private static func unreadable(_ error: InputError) -> CommandFailure {
        CommandFailure.usage("can't read exports: \(error.message); name a file in the format of exports(5)")
    }
}

/// Prints a draft that `check` accepts, and warnings for the reader on stderr.
func printPolicy(_ draft: DraftPolicy, warnings: [String]) throws {
    let names = PolicyLoader().programNames
    let text = draft.text(names: names)
    guard text.utf8.count <= SourceFile.bytesMax else {
        throw CommandFailure.usage(
            "the draft has \(text.utf8.count) bytes, and a policy may have \(SourceFile.bytesMax); use fewer"
                + " clients, or wider prefixes (learn --aggregate /24 --aggregate-ipv6 /64)")
    }
    let parsed = ParsedPolicy([SourceFile(name: "draft", text: text)], names: names)
    // An invalid draft would be an error of rpcwarden; none is printed then.
    guard !parsed.diagnostics.contains(where: { $0.severity == .error }) else {
        for diagnostic in parsed.diagnostics { writeError(diagnostic.description) }
        throw CommandFailure.usage(
            "the draft is not a valid policy: \(draft.rules.count) rules; please report this bug")
    }
    print(text, terminator: "")
    for warning in warnings { writeError("rpcwarden: warning: \(warning)") }
}
