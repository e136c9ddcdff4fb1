import Foundation
import Testing

@Suite("scripts/release") struct ReleaseTests {
    private let repository = Repository()

    private func expectRefusal(_ checkout: Checkout, _ version: String, _ words: String...) throws {
        let outcome = try checkout.check(version)
        #expect(outcome.status == 1 && outcome.text.isEmpty)
        for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
    }

    @Test("refuses what is no version, or not the source's, and says what to write")
    func version() throws {
        let checkout = try Checkout(of: repository)
        defer { checkout.remove() }
        let (version, other) = (checkout.version, "77.0.0")
        for malformed in ["", "1.2", "v1.2.3", "1.2.3-rc", "1.02.3", "1.2.3\n", "1.2.3 4"] {
            try expectRefusal(checkout, malformed, "'\(malformed)' is no version; write three numbers")
        }
        try expectRefusal(checkout, other, "Version.swift says \(version), not \(other); release that, or change it")
        for (file, remedy) in [
            ("Sources/Shells/System/Version.swift", "release that, or change it"),
            ("packaging/debian/changelog", "put an entry of \(version) on its top"),
            ("packaging/rpcwarden.spec", "change its Version to \(version)"),
        ] {
            try checkout.with(try checkout.text(file).replacingOccurrences(of: version, with: other), in: file) {
                try expectRefusal(checkout, version, file, other, remedy)
            }
        }
    }

    @Test("refuses a version of which CHANGELOG.md says nothing")
    func changelog() throws {
        let checkout = try Checkout(of: repository)
        defer { checkout.remove() }
        let version = checkout.version
        for changelog in [
            "", "## \(version)\n\n## 0.0.1\n\n- One.\n", "## \(version)1\n\n- One.\n\n## \(version)-rc\n\n- Two.\n",
            "## Unreleased\n\n- \(version)\n",
        ] {
            try checkout.with(changelog, in: "CHANGELOG.md") {
                try expectRefusal(checkout, version, "says nothing of \(version); give what is new the heading")
            }
        }
    }

    @Test("refuses entries that no version has yet, and a version without its date")
    func unreleased() throws {
        let checkout = try Checkout(of: repository)
        defer { checkout.remove() }
        let version = checkout.version
        try checkout.with("## Unreleased\n\n- Soon.\n\n## \(version)\n\n- One.\n", in: "CHANGELOG.md") {
            try expectRefusal(checkout, version, "beneath '## Unreleased'; move them to '## \(version)'")
        }
        try checkout.with("## \(version), unreleased\n\n- One.\n", in: "CHANGELOG.md") {
            try expectRefusal(checkout, version, "the heading '## \(version), unreleased'; write the date")
        }
    }

    @Test("refuses a tree that has what its commit hasn't: a change, a new file, an ignored one that would be shipped")
    func dirtyTree() throws {
        let checkout = try Checkout(of: repository)
        defer { checkout.remove() }
        for file in ["CHANGELOG.md", "new.swift", "contrib/ignored.o"] {
            try checkout.with("## \(checkout.version)\n\n- Other.\n", in: file) {
                try expectRefusal(checkout, checkout.version, "commit, stash or remove it", file)
            }
        }
    }

    @Test("takes exactly the version's section of CHANGELOG.md")
    func section() throws {
        let checkout = try Checkout(of: repository)
        defer { checkout.remove() }
        for (heading, end) in [
            (checkout.version, "\n\n"), ("\(checkout.version), 2026-11-29", "\n## 0.0.1\n\n- It is.\n"),
        ] {
            let section = "## \(heading)\n\n- One,\n  on two lines.\n\n### Fixed\n\n- Two.\n"
            try checkout.write("# Changelog\n\n## Unreleased\n\n" + section + end, to: "CHANGELOG.md")
            try checkout.commit()
            #expect(try checkout.check(checkout.version) == Checkout.Outcome(status: 0, text: section, errors: ""))
        }
    }
}
