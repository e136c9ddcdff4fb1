import Configuration
import Glibc
import Policy
import System
import Testing

@testable import PolicyFile

/// A temporary folder, removed with the object.
private final class TemporaryFolder {
    let path: String
    private var written: [String] = []

    init(_ files: [String: String] = [:]) throws {
        var template = Array("/tmp/policyfile-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
        for (name, text) in files { try write(text, to: name) }
    }

    func write(_ text: String, to name: String) throws {
        if name.contains("/") { mkdir("\(path)/\(FileSystem.folder(of: name))", 0o700) }
        let file = try #require(fopen("\(path)/\(name)", "w"))
        fputs(text, file)
        fclose(file)
        written.append(name)
    }

    var loader: PolicyLoader { loader(reading: nil) }

    func loader(reading files: FilesRead?) -> PolicyLoader {
        PolicyLoader(
            reading: files, defaultConfigurationPath: "\(path)/rpcwarden.yaml", programNamesPath: "\(path)/rpc")
    }

    deinit {
        for name in written { remove("\(path)/\(name)") }
        for name in written { rmdir("\(path)/\(FileSystem.folder(of: name))") }
        rmdir(path)
    }
}

private let mountRule = "rules: [{name: r, from: 10.0.0.1, to: mountd}]"

@Suite("Loading")
struct PolicyLoaderTests {
    @Test("gives commands the settings as far as they can be read, whatever the policy is")
    func settingsAlone() throws {
        let folder = try TemporaryFolder([
            "rpcwarden.yaml": "control: /run/other.sock\nlimits: {grants: many}\npolicy: nowhere/\n"
        ])
        #expect(folder.loader.settings().controlPath == "/run/other.sock")
        #expect(folder.loader.settings().limits == Settings.Limits())
        #expect(try TemporaryFolder([:]).loader.settings() == Settings())
    }

    @Test("reads from another reading's answers what that reading found, and asks the file system nothing")
    func replay() throws {
        let folder = try TemporaryFolder([
            "rpcwarden.yaml": "mode: observe", "rpc": "mymount 100005", "policy.d/a.yaml": mountRule,
            "policy.d/b.yml": "", "policy.d/c.txt": "", "policy.d/d.yaml": "programs: {mine: [mymount]}\nrulez: []",
        ])
        let first = folder.loader.load()
        #expect(first.answers["\(folder.path)/policy.d/"] == .folder(["a.yaml", "b.yml", "d.yaml"]))
        #expect(first.diagnostics.texts.contains { $0.contains("rulez") })
        for name in ["rpcwarden.yaml", "rpc", "policy.d/a.yaml", "policy.d/d.yaml"] { try folder.write("x", to: name) }
        try folder.write("", to: "policy.d/e.yaml")
        let again = folder.loader(reading: first.answers).load()
        #expect(again.diagnostics == first.diagnostics && again.filesRead == first.filesRead)
        #expect(again.settings == first.settings && again.answers == first.answers)
        #expect(folder.loader.load().diagnostics != first.diagnostics)
        #expect(
            folder.loader(reading: [:]).load().diagnostics.texts == [
                "\(folder.path)/rpcwarden.yaml:1:1: error: can't read \"\(folder.path)/policy.d/\": No such file or"
                    + " directory; write a policy, or have import-exports or learn draft one"
            ])
    }

    @Test("reads no pipe in a policy's place, which may never end", .timeLimit(.minutes(1)))
    func pipes() throws {
        let folder = try TemporaryFolder(["policy.d/a.yaml": mountRule])
        let path = "\(folder.path)/policy.d/b.yaml"
        #expect(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        let refusal = "can't read \"\(path)\": Invalid argument; it must be a file, no pipe and no device"
        #expect(folder.loader.load().diagnostics.map(\.text) == [refusal])
        #expect(folder.loader.check(files: ["\(folder.path)/policy.d"]).diagnostics.map(\.text) == [refusal])
        try folder.write("policy: policy.d/b.yaml", to: "rpcwarden.yaml")
        #expect(folder.loader.load().diagnostics.map(\.text) == [refusal])
    }

    @Test("reads a pipe that the user of check names, as a shell's <(…)")
    func namedPipe() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        #expect(write(ends[1], mountRule, mountRule.utf8.count) == mountRule.utf8.count)
        close(ends[1])
        let load = try TemporaryFolder().loader.check(files: ["/dev/fd/\(ends[0])"])
        #expect(!load.hasErrors && load.rules.count == 1)
    }

    @Test("lists no folder in a file's place, and no folder beyond measure")
    func folders() throws {
        let folder = try TemporaryFolder(["a.yaml": "", "b.yaml": "", "c.txt": ""])
        #expect(FileSystem.answer(for: folder.path, as: .file) == .failure(errno: EISDIR))
        #expect(FileSystem.answer(for: folder.path) == .folder(["a.yaml", "b.yaml"]))
        // "." and ".." are entries too.
        #expect(try Folder.names(in: folder.path, max: 5) == ["a.yaml", "b.yaml", "c.txt"])
        #expect(throws: Errno(EOVERFLOW)) { try Folder.names(in: folder.path, max: 4) }
    }

    @Test("refuses more than 64 MiB in all, at the file that is too much")
    func tooMuch() throws {
        let comment = String(repeating: "#", count: 4 << 20)
        var files = ["policy.d/00.yaml": mountRule]
        for number in 1...16 { files["policy.d/\(number + 10).yaml"] = comment }
        let folder = try TemporaryFolder(files)
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/policy.d/26.yaml:1:1: error: can't read \"\(folder.path)/policy.d/26.yaml\": File too"
                    + " large; all files together may have at most 64 MiB"
            ])
    }

    @Test("knows the configuration's servers, and warns of those that no rule is about")
    func servers() throws {
        let servers =
            "gateway:\n  servers:\n    - {name: nas, address: 10.0.0.1}\n    - {name: old, address: 10.0.0.2}\n"
        let rule = "rules: [{name: r, from: 10.0.0.1, to: mountd, at: nas}]"
        let folder = try TemporaryFolder(["rpcwarden.yaml": servers, "policy.d/a.yaml": rule])
        let load = folder.loader.load()
        #expect(load.rules.map(\.at) == [.servers(["nas"])])
        #expect(
            load.diagnostics.texts == [
                "\(folder.path)/rpcwarden.yaml:4:14: warning: no rule is about server \"old\": everything there is denied;"
                    + " name it in a rule's \"at\", or leave it out"
            ])
        #expect(load.settings.refusal(ofServer: "nas") == nil)
        #expect(load.settings.refusal(ofServer: "nass") == "unknown server: \"nass\"; did you mean \"nas\"?")
        try folder.write("", to: "rpcwarden.yaml")
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/policy.d/a.yaml:1:51: error: unknown server \"nas\"; the configuration has no"
                    + " gateway.servers"
            ])
        #expect(folder.loader.check(files: ["\(folder.path)/policy.d/a.yaml"]).rules.count == 1)
        try folder.write("rules: [{name: r, from: 10.0.0.1, to: mountd, at: any-server}]", to: "policy.d/a.yaml")
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/policy.d/a.yaml:1:9: warning: \"any-server\" means no server: the configuration has no gateway.servers"
            ])
    }

    @Test("refuses a configuration that was named and is missing")
    func missingConfiguration() throws {
        let folder = try TemporaryFolder(["policy.d/a.yaml": mountRule])
        let path = "\(folder.path)/other.yaml"
        let result = folder.loader.load(configurationPath: path)
        #expect(
            result.diagnostics.texts == [
                "\(path):1:1: error: can't read \"\(path)\": No such file or directory"
            ])
        #expect(result.rules == [])
        #expect(result.filesRead == [])
    }

    @Test("refuses a missing policy, at the place that names it")
    func missingPolicy() throws {
        let folder = try TemporaryFolder(["rpcwarden.yaml": "mode: observe\npolicy: p.yaml"])
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/rpcwarden.yaml:2:9: error: can't read \"\(folder.path)/p.yaml\": No such file or"
                    + " directory; write a policy, or have import-exports or learn draft one"
            ])
    }

    @Test("sums up what was read, what is wrong there, and how many rules it makes")
    func summary() throws {
        let folder = try TemporaryFolder(["a.yaml": mountRule, "b.yaml": "rulez: []", "c.yaml": "clients: {g: [::1]}"])
        let paths = ["a", "b", "c"].map { "\(folder.path)/\($0).yaml" }
        #expect(folder.loader.check(files: [paths[0]]).summary() == "no problems in \(paths[0]) (1 rule)")
        #expect(folder.loader.check(files: [paths[0]]).summary(warnings: 1) == "1 warning in \(paths[0]) (1 rule)")
        let wrong = folder.loader.check(files: [paths[0], paths[1]])
        #expect(wrong.summary() == "1 error in \(paths[0]), \(paths[1])")
        #expect(folder.loader.check(files: ["/nowhere"]).summary() == "1 error; no file was read")
    }

    @Test("warns of no unused group where a file can't be read, since its rules may use it")
    func unreadRules() throws {
        let folder = try TemporaryFolder([
            "a.yaml": "clients: {g: [10.0.0.1]}\n", "b.yaml": "rules: [{name: r, from: [g], to: [nfs]",
        ])
        let paths = ["a", "b"].map { "\(folder.path)/\($0).yaml" }
        #expect(folder.loader.check(files: [paths[0]]).diagnostics.texts.contains { $0.contains("no rule uses") })
        for files in [paths, ["\(folder.path)/"]] {
            let texts = folder.loader.check(files: files).diagnostics.texts
            #expect(texts.count == 1 && texts[0].hasPrefix("\(paths[1]):2:1: error:"), "\(texts)")
        }
    }

    @Test("refuses a missing policy folder where nothing names it")
    func missingEverything() throws {
        let folder = try TemporaryFolder()
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/rpcwarden.yaml:1:1: error: can't read \"\(folder.path)/policy.d/\": No such file or"
                    + " directory; write a policy, or have import-exports or learn draft one"
            ])
    }

    @Test("refuses a policy folder without policies, and tells of names that end otherwise")
    func emptyFolder() throws {
        let folder = try TemporaryFolder([
            "policy.d/a.yml": mountRule, "policy.d/.b.yaml": mountRule, "policy.d/README": "",
        ])
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/policy.d/a.yml:1:1: warning: not read: its name doesn't end in .yaml; rename it",
                "\(folder.path)/rpcwarden.yaml:1:1: error: the folder \"\(folder.path)/policy.d/\" contains no *.yaml file;"
                    + " without a policy everything is denied",
            ])
    }

    @Test("refuses what can't be read as a file")
    func folderAsConfiguration() throws {
        let folder = try TemporaryFolder(["rpcwarden.yaml/x": ""])
        #expect(
            folder.loader.load().diagnostics.texts == [
                "\(folder.path)/rpcwarden.yaml:1:1: error: can't read \"\(folder.path)/rpcwarden.yaml\": Is a directory"
            ])
    }

    @Test("gives no rules if the configuration is wrong, and tells of mistakes in both")
    func bothWrong() throws {
        let folder = try TemporaryFolder([
            "rpcwarden.yaml": "modes: observe", "policy.d/a.yaml": mountRule, "policy.d/b.yaml": "ruls: []",
        ])
        let result = folder.loader.load()
        #expect(
            result.diagnostics.texts == [
                "\(folder.path)/rpcwarden.yaml:1:1: error: unknown key \"modes\"; did you mean \"mode\"?",
                "\(folder.path)/policy.d/b.yaml:1:1: error: unknown key \"ruls\"; did you mean \"rules\"?",
            ])
        #expect(result.hasErrors)
        #expect(result.rules == [])
    }

    @Test("gives no rules if the configuration alone is wrong")
    func configurationWrong() throws {
        let folder = try TemporaryFolder(["rpcwarden.yaml": "modes: observe", "policy.d/a.yaml": mountRule])
        #expect(folder.loader.load().diagnostics.count == 1)
        #expect(folder.loader.load().rules == [])
    }

    @Test("without a configuration the defaults apply")
    func defaults() throws {
        let folder = try TemporaryFolder(["policy.d/a.yaml": mountRule])
        let result = folder.loader.load()
        #expect(result.diagnostics == [])
        #expect(result.settings == Settings())
        #expect(result.rules.map(\.label) == ["a.yaml:1 \"r\""])
        #expect(result.filesRead == ["\(folder.path)/policy.d/a.yaml"])
    }

    @Test("reads a folder in the order of names")
    func folderOrder() throws {
        let folder = try TemporaryFolder([
            "rpcwarden.yaml": "policy: p",
            "p/20-b.yaml": "rules: [{name: b, from: g, to: mountd}]",
            "p/10-a.yaml": "clients: {g: 10.0.0.1}\nrules: [{name: a, from: g, to: mountd}]",
        ])
        let result = folder.loader.load(configurationPath: "\(folder.path)/rpcwarden.yaml")
        #expect(result.diagnostics == [])
        #expect(result.rules.map(\.label) == ["10-a.yaml:2 \"a\"", "20-b.yaml:1 \"b\""])
        #expect(
            result.filesRead == ["rpcwarden.yaml", "p/10-a.yaml", "p/20-b.yaml"].map { "\(folder.path)/\($0)" })
    }

    @Test("takes an absolute policy path as it is")
    func absolutePolicy() throws {
        let other = try TemporaryFolder(["p.yaml": mountRule])
        let folder = try TemporaryFolder(["rpcwarden.yaml": "policy: \(other.path)/p.yaml"])
        #expect(folder.loader.load().rules.map(\.location.file) == ["\(other.path)/p.yaml"])
    }

    @Test("takes program names from /etc/rpc, and its own where that is missing")
    func programNames() throws {
        let folder = try TemporaryFolder(["policy.d/a.yaml": "rules: [{name: r, from: 10.0.0.1, to: mymount}]"])
        #expect(folder.loader.load().hasErrors)
        #expect(folder.loader.load().programNames.program(named: "mountd") == .mountd)
        try folder.write("mymount 100005 mm # ours\n", to: "rpc")
        #expect(folder.loader.load().rules.first?.to == [.mountd])
        #expect(folder.loader.load().programNames.name(of: .mountd) == "mymount")
    }

    @Test("check tells either kind by its keys, and makes one policy of all policy files")
    func check() throws {
        let folder = try TemporaryFolder([
            "c.yaml": "mode: observe\nlimts: {}", "a.yaml": "clients: {g: 10.0.0.1}",
            "b.yaml": "rules: [{name: b, from: g, to: nfs0}]",
            "rulez.yaml": "rulez: []",
        ])
        let paths = ["c.yaml", "a.yaml", "b.yaml", "rulez.yaml", "b.yaml"].map { "\(folder.path)/\($0)" }
        let result = folder.loader.check(files: paths)
        #expect(
            result.diagnostics.texts == [
                "\(paths[0]):2:1: error: unknown key \"limts\"; did you mean \"limits\"?",
                "\(paths[2]):1:32: error: unknown program \"nfs0\"; did you mean \"nfs\"?",
                "\(paths[3]):1:1: error: unknown key \"rulez\"; did you mean \"rules\"?",
            ])
        #expect(result.settings.mode == .observe)
    }

    @Test("check refuses a file of both kinds, and one that is missing")
    func checkMixed() throws {
        let folder = try TemporaryFolder([
            "m.yaml": "mode: observe\nrules: []", "n.yaml": "mode: observe\naudit:\nrules: []",
        ])
        let paths = ["m.yaml", "n.yaml", "none.yaml"].map { "\(folder.path)/\($0)" }
        #expect(
            folder.loader.check(files: paths).diagnostics.texts.sorted() == [
                "\(paths[0]):1:1: error: \"mode\" is a key of the configuration, not of a policy; move it to"
                    + " rpcwarden.yaml",
                "\(paths[1]):3:1: error: \"rules\" is a key of a policy, not of the configuration; move it to a"
                    + " policy file",
                "\(paths[2]):1:1: error: can't read \"\(paths[2])\": No such file or directory",
            ])
    }
}
