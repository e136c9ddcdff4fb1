import ArgumentParser
import Console
import Daemon
import Glibc
import HostPosture
import HostSurvey
import PolicyFile
import System

struct Setup: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Put rpcwarden in front of rpcbind, or of the servers behind this host, in observe mode; or undo that.",
        discussion: """
            Shows every file and command before it makes the first change. Keeps existing files; a second run changes \
            nothing. Exits 1 if setup is not possible, or if steps are left to you.
            """)

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var place: RootOption

    @Flag(name: .customLong("dry-run"), help: "Only show what would be done.")
    var isDry = false

    @Flag(
        name: .customLong("gateway"),
        help: "Make a gateway of this host, for the servers behind it; moves no rpcbind.")
    var isGateway = false

    @Flag(
        name: .customLong("pin"),
        help: "Only give mountd, statd, lockd and rquotad fixed ports, for firewalls that can't follow them.")
    var isPinning = false

    @Flag(name: .customLong("undo"), help: "Undo the changes of setup; files that were edited since are kept.")
    var undoes = false

    func validate() throws {
        if isPinning, isGateway {
            throw ValidationError("--pin and --gateway exclude each other: run one after the other")
        }
    }

    func run() throws {
        let survey = try place.survey(configuration)
        let facts = facts(survey)
        let plan = plan(facts)
        if isDry || plan.obstacles.isEmpty { Self.show(plan) }
        guard plan.obstacles.isEmpty else {
            for obstacle in plan.obstacles { writeError("rpcwarden: \(obstacle)") }
            throw CommandFailure(message: nil, code: ExitStatus.denied)
        }
        if plan.actions.isEmpty { return try Self.tellLeft(plan) }
        if isDry {
            print("\nnothing was changed: this is a dry run")
            return try Self.tellLeft(plan)
        }
        if !facts.isImage, geteuid() != 0 {
            throw CommandFailure(
                message: "nothing was changed: setup runs as uid \(geteuid()); run it as root", code: ExitStatus.denied)
        }
        print("")
        try carryOut(plan, SetupRunner(survey, facts))
        if !plan.next.isEmpty { print("\n" + plan.next.joined(separator: "\n")) }
        try Self.tellLeft(plan)
    }

    /// - Throws: if the plan, which was shown, leaves steps to the user.
    private static func tellLeft(_ plan: SetupPlan) throws {
        let count = plan.leftCount
        guard count > 0 else { return }
        let steps = count == 1 ? "1 step is" : "\(count) steps are"
        throw CommandFailure(message: "\(steps) left to you; see `left to you` above", code: ExitStatus.denied)
    }

    private func plan(_ facts: SetupFacts) -> SetupPlan {
        switch (undoes, isPinning) {
        case (true, true): .undoPin(facts)
        case (true, false): .undo(facts)
        case (false, true): .pin(facts)
        case (false, false): isGateway ? .setupGateway(facts) : .setup(facts)
        }
    }

    private static func show(_ plan: SetupPlan) {
        // An image's files may hold anything.
        for line in plan.steps.flatMap({ text($0).split(separator: "\n") }) {
            print(StandardError.printable(String(line)))
        }
    }

    private func facts(_ survey: HostSurvey) -> SetupFacts {
        var facts = survey.setupFacts()
        let own = facts.root + SetupFiles.configuration
        if let path = configuration.path, path != own {
            facts.otherConfiguration = path
            // The unit names it as the booted image sees it.
            let place = path.hasPrefix(facts.root + "/") ? String(path.dropFirst(facts.root.count)) : path
            facts.startsWithOtherConfiguration = survey.startsWarden(with: place)
        }
        Self.read(facts.otherConfiguration ?? own, &facts)
        let option = configuration.path.map { ["--config", $0] } ?? []
        facts.unload = [ownProgram ?? "rpcwarden", "guard", "unload"] + option
        return facts
    }

    /// Reads the configuration and its policy as the daemon would; files that setup will write don't exist yet.
    private static func read(_ path: String, _ facts: inout SetupFacts) {
        let loader = PolicyLoader(ownAddresses: facts.isImage ? [] : ownAddresses(), after: lastBundle())
        let folder = facts.root + SetupFiles.policyFolder
        guard facts.otherConfiguration != nil || facts.files[SetupFiles.configuration] != nil else {
            facts.configurationErrors = facts.policies.isEmpty ? [] : errors(in: loader.check(files: [folder]))
            return
        }
        let settings = loader.settings(configurationPath: path)
        let bundle = settings.fleet?.policy
        facts.hasFleetPolicy = bundle?.mode == .replace
        let named = loader.path(settings.policyPath, inConfiguration: path)
        facts.readsPolicyFolder =
            [folder, folder + "/"].contains(named)
            || facts.isImage && [SetupFiles.policyFolder, SetupFiles.policyFolder + "/"].contains(settings.policyPath)
        let isUnwritten = facts.readsPolicyFolder && facts.policies.isEmpty
        // Absolute paths of an image's configuration lead to this host's files.
        if facts.isImage, bundle != nil || settings.policyPath.hasPrefix("/") {
            let files = isUnwritten || !facts.readsPolicyFolder ? [path] : [folder, path]
            facts.configurationErrors = errors(in: loader.check(files: files))
        } else if isUnwritten, !facts.hasFleetPolicy {
            facts.configurationErrors = errors(in: loader.loadSettings(configurationPath: path))
        } else {
            let load = loader.load(configurationPath: path)
            facts.configurationErrors = errors(in: load)
            facts.hasRules = load.hasErrors || !load.rules.isEmpty
        }
    }

    private static func errors(in load: LoadResult) -> [String] {
        load.diagnostics.filter { $0.severity == .error }.map(\.description)
    }

    private func carryOut(_ plan: SetupPlan, _ carrier: SetupRunner) throws {
        var carrier = carrier
        var left: [String] = []
        for case .act(let action, let entries) in plan.steps {
            do {
                if let rest = try carrier.carryOut(action, recording: entries) { left.append(rest) }
            } catch {
                throw CommandFailure(
                    message: "\(error); the steps before it were done; \(way)", code: ExitStatus.denied)
            }
            print("done: \(action.description.prefix { $0 != "\n" })")
        }
        guard left.isEmpty else {
            throw CommandFailure(message: left.joined(separator: "; "), code: ExitStatus.denied)
        }
    }

    private var way: String {
        let option = isGateway ? " --gateway" : isPinning ? " --pin" : ""
        let again = "rpcwarden setup\(option)"
        if undoes { return "correct the error, then run `\(again) --undo` again" }
        return "correct the error and run `\(again)` again, or undo it: `rpcwarden setup --undo`"
    }

    private static func text(_ step: SetupPlan.Step) -> String {
        switch step {
        case .act(let action, _): action.description
        case .alreadySo(let what): "unchanged: \(what)"
        case .note(let text): "note: \(text)"
        case .left(let text): "left to you: \(text)"
        }
    }
}
