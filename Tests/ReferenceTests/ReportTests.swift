import Foundation
import Testing

/// A folder of a test's own.
private struct Folder: ~Copyable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("rpcwarden-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ text: String, to name: String) throws {
        try text.write(toFile: file(name), atomically: false, encoding: .utf8)
    }
}

/// A log of mixed events, made without any part of rpcwarden.
private func mixedLog(_ arguments: Int...) throws -> String {
    let script = Repository.root.appendingPathComponent("Tests/ReferenceTests/mixedlog.py").path
    let output = try run(["python3", script] + arguments.map(String.init))
    try #require(output.status == 0, "\(output)")
    return output.text
}

private func report(_ arguments: String..., input: String = "") throws -> Output {
    try run([BuiltProgram.path, "report", "--no-posture"] + arguments, input: input)
}

@Suite("report") struct ReportTests {
    @Test("a log that can't be read, and a file that can't be written, are named; the exit status is 2")
    func failures() throws {
        let folder = try Folder()
        let cases = [
            [folder.file("missing.jsonl")], [folder.path], ["-", folder.file("missing.gz")],
            ["-", "--output", folder.file("no/report.html")], ["-", "--output", "/dev/null"],
            ["-", "--output", folder.path], ["-", "--since", "yesterday"], ["-", "--format", "pdf"],
            ["-", "--json", "--format", "html"], ["-", "--config", folder.file("none.yaml")],
        ]
        for arguments in cases {
            let output = try run([BuiltProgram.path, "report", "--no-posture"] + arguments)
            #expect(output.status == 2 && output.text.isEmpty, "\(arguments): \(output)")
            let subject = try #require(arguments.last { $0 != "-" })
            #expect(output.errors.contains(subject == "html" ? "--json" : subject), "\(arguments): \(output)")
        }
        #expect(FileManager.default.fileExists(atPath: "/dev/null"))
    }

    @Test(
        "the file that --output names is whole, and its owner's alone; an older one is replaced, and keeps its mode",
        arguments: [nil, 0o640])
    func output(oldMode: mode_t?) throws {
        let folder = try Folder()
        if let oldMode {
            try folder.write("old", to: "report.html")
            #expect(chmod(folder.file("report.html"), oldMode) == 0)
        }
        let output = try report("-", "--format", "html", "--output", folder.file("report.html"))
        #expect(output.status == 0 && output.text.isEmpty, "\(output)")
        let page = try String(contentsOfFile: folder.file("report.html"), encoding: .utf8)
        #expect(page.hasPrefix("<!DOCTYPE html>") && page.hasSuffix("</html>\n"))
        let mode = try FileManager.default.attributesOfItem(atPath: folder.file("report.html"))[.posixPermissions]
        #expect(mode as? Int == Int(oldMode ?? 0o600))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["report.html"])
    }

    @Test("a link that --output names stays one: its file is replaced; one to an open file, or to none, is refused")
    func outputLinks() throws {
        let folder = try Folder()
        try folder.write("old", to: "report.txt")
        let targets = [("link", "report.txt", 0), ("stdout", "/proc/self/fd/1", 2), ("dangling", "missing.txt", 2)]
        for (name, target, status) in targets {
            try FileManager.default.createSymbolicLink(atPath: folder.file(name), withDestinationPath: target)
            let output = try report("-", "--output", folder.file(name))
            #expect(output.status == status && output.text.isEmpty, "\(name): \(output)")
            #expect(status == 0 || output.errors.contains("--output: \"\(folder.file(name))\" is "), "\(output)")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file(name)) == target)
        }
        #expect(try String(contentsOfFile: folder.file("report.txt"), encoding: .utf8) != "old")
        #expect(!FileManager.default.fileExists(atPath: folder.file("missing.txt")))
    }

    private static func line(_ day: Int, _ event: String, _ more: String = "") -> String {
        "{\"ts\":\"2026-11-\(day)T08:00:00Z\",\"event\":\"\(event)\"\(more)}\n"
    }

    @Test("rotated files are one host's log, in the order of time, whatever the order of their names")
    func rotated() throws {
        let folder = try Folder()
        try folder.write(Self.line(10, "tampered"), to: "audit.jsonl.2")
        #expect(try run(["gzip", folder.file("audit.jsonl.2")]).status == 0)
        try folder.write(Self.line(11, "restored") + "garbage\n", to: "audit.jsonl.1")
        try folder.write(Self.line(12, "tampered") + "\n", to: "audit.jsonl")
        try folder.write(Self.line(9, "tampered"), to: "audit.jsonl.bak")
        let object = try Self.object(try report(folder.file("audit.jsonl"), "--json"))
        let tampering = try #require(object["tampering"] as? [[String: Any]])
        #expect(tampering.map { $0["seconds"] as? Int } == [86_400, nil])
        #expect(object["hosts"] as? [String] == ["audit.jsonl"])
        let lines = try #require(object["lines"] as? [String: Int])
        #expect(lines == ["read": 3, "skipped": 1, "older": 0])
        let late = try Self.object(try report(folder.file("audit.jsonl"), "--json", "--since", "2026-11-11T00:00:00Z"))
        #expect(late["lines"] as? [String: Int] == ["read": 2, "skipped": 1, "older": 1])
    }

    @Test("a line's host is its own word, else its file's name; files of one name are told apart")
    func hosts() throws {
        let folder = try Folder()
        for name in ["a", "b"] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: false)
            try folder.write(Self.line(10, "started"), to: "\(name)/audit.jsonl")
        }
        try folder.write(Self.line(10, "started", ",\"host\":\"filer\""), to: "c.jsonl")
        let object = try Self.object(
            try report(folder.file("a/audit.jsonl"), folder.file("b/audit.jsonl"), folder.file("c.jsonl"), "--json"))
        #expect(
            object["hosts"] as? [String]
                == [folder.file("a/audit.jsonl"), folder.file("b/audit.jsonl"), "filer"].sorted())
    }

    @Test(
        "hosts whose names end in a number stay apart: a file is a rotated one only if the log's own file is there",
        arguments: [["fs-01", "fs-02"], ["10.20.0.1", "10.20.0.2"], ["nfs", "nfs-2"], ["fs-20261121", "fs.1"]])
    func numberedHosts(names: [String]) throws {
        let folder = try Folder()
        for name in names { try folder.write(Self.line(10, "started"), to: name) }
        let output = try run([BuiltProgram.path, "report", "--no-posture", "--json"] + names.map { folder.file($0) })
        let object = try Self.object(output)
        #expect(object["hosts"] as? [String] == names.sorted() && output.errors.isEmpty, "\(output)")
        try folder.write(Self.line(10, "started"), to: "nfs-3")
        let lines = try Self.object(try report(folder.file(names[0]), "--json"))["lines"] as? [String: Int]
        #expect(lines?["read"] == 1)
    }

    @Test("a rotated file that is named as well is the log's own; a file by several paths counts once")
    func namedTwice() throws {
        let folder = try Folder()
        for name in ["log", "log.1", "log-2026-11-08"] { try folder.write(Self.line(10, "permitted"), to: name) }
        try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "log")
        let object = try Self.object(
            try report(
                folder.file("log"), folder.file("log.1"), folder.file("./log"), folder.file("link"), "--json"))
        #expect(object["hosts"] as? [String] == ["log"])
        #expect((object["lines"] as? [String: Int])?["read"] == 3)
    }

    @Test("a rotated file that can't be decompressed counts as far as it can; it is told, and so is what isn't read")
    func unread() throws {
        let folder = try Folder()
        for name in ["log.1", "log.bak"] { try folder.write(Self.line(10, "permitted"), to: name) }
        try folder.write((10...30).map { Self.line($0, "permitted", ",\"xid\":\($0)") }.joined(), to: "log.2")
        #expect(try run(["gzip", folder.file("log.2")]).status == 0)
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder.file("log.2.gz")))
        try whole.dropLast(9).write(to: URL(fileURLWithPath: folder.file("log.2.gz")))
        try folder.write(Self.line(11, "permitted"), to: "log")
        let output = try report(folder.file("log"), "--json")
        let object = try Self.object(output)
        let unread = try #require(object["unread"] as? [String])
        #expect((object["lines"] as? [String: Int])?["read"] ?? 0 > 2)
        for name in ["log.2.gz", "log.bak"] {
            #expect(unread.contains { $0.contains(folder.file(name)) }, "\(unread)")
            #expect(output.errors.contains("not read: ") && output.errors.contains(folder.file(name)), "\(output)")
            #expect(try report(folder.file("log")).text.contains(name))
        }
        let named = try report(folder.file("log.2.gz"))
        #expect(named.status == 2 && named.errors.contains("\"\(folder.file("log.2.gz"))\": "), "\(named)")
    }

    @Test("a line that a dying daemon left torn doesn't hide the next start, nor do a file system's NULs")
    func tornLine() throws {
        let folder = try Folder()
        let torn = #"{"ts":"2026-11-10T09:00:00Z","event":"permitted","client":"10.0"#
        let nulls = String(repeating: "\0", count: 100_000)
        let text = Self.line(10, "started") + torn + Self.line(11, "started") + nulls + Self.line(12, "started")
        try folder.write(text, to: "log")
        let object = try Self.object(try report(folder.file("log"), "--json"))
        #expect(object["lines"] as? [String: Int] == ["read": 3, "skipped": 1, "older": 0])
        #expect((object["gaps"] as? [[String: Any]])?.map { $0["why"] as? String } == ["no-stop", "no-stop"])
    }

    @Test("posture is of the host where the command runs, with what CIS 2.1.12 asks for, unless it is left out")
    func posture() throws {
        let output = try run([BuiltProgram.path, "report", "-", "--json"])
        let posture = try #require(try Self.object(output)["posture"] as? [String: Any])
        let control = try #require(posture["cis_2_1_12"] as? [String: Any])
        #expect(control["control"] as? String == "CIS 2.1.12" && control["verdict"] is String)
        #expect(
            (control["evidence"] as? [[String: String]])?.contains { $0["command"]?.contains("rpcbind") == true }
                == true)
        #expect(posture["findings"] is [Any] && (posture["host"] as? String)?.isEmpty == false)
        #expect(try Self.object(try report("-", "--json"))["posture"] is NSNull)
    }

    private static func object(_ output: Output) throws -> [String: Any] {
        try #require(output.status == 0, "\(output)")
        return try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any])
    }
}

@Suite("report, counted anew", .enabled(if: areToolsWanted, "needs RPCWARDEN_LAB=1")) struct ReportCountTests {
    /// What jq reads of the log, skipping what is no event as the report does.
    private static let events =
        #"[inputs | fromjson? | select(type == "object" and .event != "unheard-of")] as $log | $log"#

    /// What is counted of the log, and what the report says of it.
    private static let counts: [(String, of: String, says: String)] = [
        ("lines", "length", ".lines.read"),
        (
            "events", #"group_by(.event) | map({key: .[0].event, value: length}) | from_entries"#,
            #".totals | with_entries(select(.value > 0 and (.key | IN("events", "denied_observed") | not)))"#
        ),
        ("observed", #"map(select(.event == "denied" and .enforced == false)) | length"#, ".totals.denied_observed"),
        ("hosts", "map(.host) | unique", ".hosts"),
        (
            "lookups",
            #"map(select(.event == "permitted" or .event == "granted")) | group_by([.client, .program]) | map([.[0].client, .[0].program, (map(select(.event == "permitted")) | length), (map(select(.event == "granted")) | length)]) | sort"#,
            ".lookups | map([.client, .program, .count, .grants]) | sort"
        ),
        (
            "denials",
            #"map(select(.event == "denied")) | group_by([.reason, .client, .host]) | map([.[0].reason, .[0].client, .[0].host, length, (map(.program) | unique)]) | sort"#,
            ".denials | map([.reason, .source, .host, .count, .programs]) | sort"
        ),
        (
            "hours",
            #"map(select(.event == "denied")) | group_by([.ts[:13], .reason]) | map([.[0].ts[:13], .[0].reason, length]) | sort"#,
            "[.hours[] | .hour[:13] as $hour | .denied | to_entries[] | [$hour, .key, .value]] | sort"
        ),
        (
            "probes",
            #"map(select(.event == "probed")) | group_by([.client, .host, .detail]) | map([.[0].client, .[0].host, .[0].detail, length]) | sort"#,
            ".probes | map([.source, .host, .port, .count]) | sort"
        ),
        ("suppressed", #"map(select(.event == "suppressed") | .count) | add"#, ".suppressed"),
        (
            "tampering",
            #"group_by(.host) | map(reduce .[] as $e ({open: null, out: []}; if $e.event == "tampered" then .open = (.open // $e.ts) elif ($e.event == "restored" or $e.event == "started") and .open then .out += [[$e.host, .open[:19], $e.ts[:19]]] | .open = null else . end) | .out) | add | sort"#,
            ".tampering | map([.host, .from[:19], .to[:19]]) | sort"
        ),
        (
            "quarantines", #"map(select(.event == "quarantined") | .client) | sort"#,
            ".quarantines | map(.source) | sort"
        ),
        (
            "reloads",
            #"map(select(.event == "reloaded" or .event == "reload-refused") | [.ts[:19], .host, .event == "reload-refused"])"#,
            ".reloads | map([.at[:19], .host, .refused])"
        ),
        ("starts", #"map(select(.event == "started") | [.ts[:19], .host])"#, ".restarts | map([.started[:19], .host])"),
        (
            "enumerations", #"map(select(.event == "enumeration") | [.client, .count]) | sort"#,
            ".enumerations | map([.source, .denials]) | sort"
        ),
        (
            "the level of grants",
            #"[group_by(.host)[] | group_by([.client, .granted])[] | map(select(.event | IN("granted", "expired", "revoked"))) | select(length > 0) | last | select(.event == "granted")] | length"#,
            ".hours | last | .grants_alive"
        ),
    ]

    private static func jq(_ program: String, _ file: String, raw: Bool) throws -> String {
        let output = try run(["jq", "-c", "-S", "-n"] + (raw ? ["-R"] : []) + [program, file])
        try #require(output.status == 0, "\(output)")
        return output.text
    }

    @Test("totals of a log of three hosts are what jq counts, from one file, from many, and from stdin")
    func totals() throws {
        let folder = try Folder()
        let log = try mixedLog(6000)
        try folder.write(log, to: "all.jsonl")
        let lines = log.split(separator: "\n").map { $0 + "\n" }
        for number in 1...3 {
            let own = lines.filter {
                $0.contains("\"host\":\"filer\(number)\"") || number == 1 && !$0.contains("\"host\"")
            }
            try folder.write(own.joined(), to: "filer\(number).jsonl")
        }
        #expect(try run(["gzip", folder.file("filer2.jsonl")]).status == 0)
        let made = [
            try report(folder.file("all.jsonl"), "--json"), try report("-", "--json", input: log),
            try report(
                folder.file("filer3.jsonl"), folder.file("filer2.jsonl.gz"), folder.file("filer1.jsonl"), "--json"),
        ]
        for (place, output) in made.enumerated() {
            try #require(output.status == 0, "\(output)")
            try folder.write(output.text, to: "report\(place).json")
        }
        for (name, counted, told) in Self.counts {
            let expected = try Self.jq("\(Self.events) | \(counted)", folder.file("all.jsonl"), raw: true)
            try #require(expected.count > 2, "\(name): \(expected)")
            for place in made.indices {
                // Files one after the other tell items in another order.
                guard place < 2 || !["reloads", "starts"].contains(name) else { continue }
                let found = try Self.jq("input | \(told)", folder.file("report\(place).json"), raw: false)
                #expect(found == expected, "\(name), \(place)")
            }
        }
        let skipped = lines.filter { !$0.contains("\"host\"") }.count
        #expect(made[0].text.contains("\"skipped\": \(skipped)"))
    }

    @Test("the reader of a terminal sees how far it is after a second, and nothing of it stays; a file gets none of it")
    func progress() throws {
        let folder = try Folder()
        try folder.write(try mixedLog(9000), to: "log.jsonl")
        let script = Repository.root.appendingPathComponent("Tests/ReferenceTests/watching.py").path
        let output = try run([
            "python3", script, folder.file("log.jsonl"), BuiltProgram.path, "report", "--no-posture", "-",
        ])
        #expect(
            output.status == 0 && output.text.contains("lines, in stdin") && output.text.hasSuffix("\\r\\x1b[K\n"),
            "\(output)")
        let quiet = try report(folder.file("log.jsonl"))
        #expect(quiet.errors.isEmpty, "\(quiet)")
    }
}
