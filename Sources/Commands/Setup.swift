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
        var facts = survey.setupFacts()
        Self.lookAtFiles(&facts)
        let plan = plan(facts)
        guard plan.obstacles.isEmpty else {
            for obstacle in plan.obstacles { writeError("rpcwarden: \(obstacle)") }
            throw CommandFailure(message: nil, code: ExitStatus.denied)
        }
        // An image's files may hold anything.
        for line in plan.steps.flatMap({ Self.text($0).split(separator: "\n") }) {
            print(StandardError.printable(String(line)))
        }
        if plan.actions.isEmpty { return }
        if isDry { return print("\nnothing was changed: this is a dry run") }
        if !facts.isImage, geteuid() != 0 {
            throw CommandFailure(
                message: "nothing was changed: setup runs as uid \(geteuid()); run it as root", code: ExitStatus.denied)
        }
        print("")
        try carryOut(plan, SetupRunner(survey, facts))
        if !plan.next.isEmpty { print("\n" + plan.next.joined(separator: "\n")) }
    }

    private func plan(_ facts: SetupFacts) -> SetupPlan {
        switch (undoes, isPinning) {
        case (true, true): .undoPin(facts)
        case (true, false): .undo(facts)
        case (false, true): .pin(facts)
        case (false, false): isGateway ? .setupGateway(facts) : .setup(facts)
        }
    }

    /// Errors in existing files; files that setup will write don't exist yet.
    private static func lookAtFiles(_ facts: inout SetupFacts) {
        let loader = PolicyLoader(ownAddresses: facts.isImage ? [] : ownAddresses(), after: lastBundle())
        let path = facts.root + SetupFiles.configuration
        let fleet = facts.files[SetupFiles.configuration].flatMap { _ in
            loader.settings(configurationPath: path).fleet?.policy
        }
        facts.hasFleetPolicy = fleet?.mode == .replace
        // A bundle's path is no path of an image.
        guard fleet != nil, !facts.isImage else {
            facts.configurationErrors = errors(facts)
            return
        }
        facts.configurationErrors = errors(in: loader.load(configurationPath: path))
    }

    private static func errors(in load: LoadResult) -> [String] {
        load.hasErrors ? load.diagnostics.map(\.description).filter { $0.contains(" error: ") } : []
    }

    private static func errors(_ facts: SetupFacts) -> [String] {
        var files = facts.policies.isEmpty ? [] : [facts.root + SetupFiles.policyFolder]
        if facts.files[SetupFiles.configuration] != nil { files.append(facts.root + SetupFiles.configuration) }
        guard !files.isEmpty else { return [] }
        return errors(in: PolicyLoader(ownAddresses: facts.isImage ? [] : ownAddresses()).check(files: files))
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
        }
    }
}
