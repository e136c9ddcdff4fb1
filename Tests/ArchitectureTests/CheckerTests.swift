import Testing

@Suite("the architecture's checker") struct CheckerTests {
    @Test(
        "an import across a level is found",
        arguments: [
            ("ONCRPC", "import Portmapper"), ("ONCRPC", "import Glibc"), ("ONCRPC", "import FoundationEssentials"),
            ("Portmapper", "import Policy"), ("Portmapper", "import NIOCore"), ("Policy", "import ONCRPC"),
            ("Policy", "import Firewall"), ("Firewall", "import Policy"), ("Firewall", "import CNetfilter"),
            ("Warden", "import Synchronization"), ("Warden", "import Netfilter"), ("Warden", "import Foundation"),
            ("PolicyFile", "import HostNames"), ("PortmapServer", "import Warden"), ("Control", "import AuditLog"),
            ("Netfilter", "import Daemon"),
            ("AuditLog", "import rpcwarden"), ("HostNames", "import FoundationEssentials"),
            ("Control", "import Foundation"),
            ("Daemon", "import Foundation"), ("rpcwarden", "import FoundationNetworking"), ("Gateway", "import Warden"),
            ("ONCRPC", "  import Portmapper"), ("ONCRPC", "public import Portmapper"),
            ("ONCRPC", "@_exported import Portmapper"),
            ("ONCRPC", "@testable import Portmapper"), ("ONCRPC", "@_spi(Tests) private import Portmapper"),
            ("ONCRPC", "import struct Portmapper.Program"), ("ONCRPC", "let x = 1; import Portmapper"),
            ("ONCRPC", "/* so */ import Portmapper // now"), ("ONCRPC", "import  Portmapper"),
            ("ONCRPC", "import\tGlibc"),
        ])
    func importFound(target: String, source: String) {
        #expect(Architecture.violations(in: source, file: "a.swift", target: target) != [])
    }

    @Test(
        "an import at its level passes",
        arguments: [
            ("ONCRPC", ""), ("Portmapper", "import ONCRPC"), ("Policy", "import Addresses"),
            ("Firewall", "import Addresses"),
            ("Warden", "import ONCRPC\nimport Portmapper\nimport Policy\nimport Firewall"),
            ("PolicyFile", "import CYAML"),
            ("Netfilter", "import Glibc\nimport Synchronization"),
            ("Control", "import FoundationEssentials\nimport NIOCore"),
            ("Daemon", "import Control\nimport FoundationEssentials"), ("rpcwarden", "import Daemon"),
            ("ONCRPC", "// import Foundation"), ("ONCRPC", "/* import Foundation /* x */\nimport Glibc */"),
            ("ONCRPC", "let text = \"\"\"\n    import Foundation\n    \"\"\""), ("ONCRPC", "let important = 1"),
        ])
    func importPasses(target: String, source: String) {
        #expect(Architecture.violations(in: source, file: "a.swift", target: target) == [])
    }

    @Test(
        "what may not be written is found",
        arguments: [
            "let a = try! read()", "let a = try? read()", "let a = try  ! read()", "let a = b as! C", "let a = b!",
            "b!.c()", "b()!.c",
            "b[0]!", "var a: Int!", "{ $0 }!", "a?.b!", "let a = \"\\(b!)\"", "let a = #\"\\#(b!)\"#", "\"a\".first!",
            "a! + b",
            "let a: [Int]!", "f(a!, b)", "x = `default`!", "let a = b! == c", "\"\"\"\n  \\(try! a())\n  \"\"\"",
        ])
    func forbiddenFound(source: String) {
        #expect(Architecture.violations(in: source, file: "a.swift", target: "ONCRPC").count == 1)
    }

    @Test(
        "what looks like it passes",
        arguments: [
            "if !a { }", "a != b", "a !== b", "!a && !b", "f(!a)", "[!a]", "// b!", "/* try! */", "\"b!\"",
            "\"try! x\"", "#\"b!\"\\(\"#",
            "let a = \"\\\"b!\"", "\"\"\"\n  as! \"quoted\"!\n  \"\"\"", "try read()", "a as? B",
            "do { try b() } catch { }", "\"\\(a)!\"",
            "static func != (a: A, b: A) -> Bool { !(a == b) }",
        ])
    func harmlessPasses(source: String) {
        #expect(Architecture.violations(in: source, file: "a.swift", target: "ONCRPC") == [])
    }

    private static let manifest = Manifest(
        """
        let nio: [Target.Dependency] = [
            .product(name: "NIOCore", package: "swift-nio"),  // "Unrelated"
            .product(name: "NIOPosix", package: "swift-nio"),
        ]
        func core(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target { .target(name: name) }
        let package = Package(
            name: "sample",
            dependencies: [.package(url: "https://github.com/apple/swift-nio", from: "2.0.0")],
            targets: [
                ground("A"),
                core("B", ["A"]),
                // core("Gone", ["A"]),
                .target(name: "CC", linkerSettings: [.linkedLibrary("x")]),
                shell("S", ["B", "CC"] + nio),
                shell("N", nio),
                .target(
                    name: "D",
                    dependencies: [
                        "S", "N",
                    ] + nio,
                    swiftSettings: strict
                ),
                .executableTarget(
                    name: "peer", dependencies: ["A", .product(name: "Parser", package: "p")], path: "Tests/peer"),
                tests("BTests", ["B"], resources: [.copy("Golden")]),
                tests("ATests", []),
            ]
        )
        """)

    @Test("the manifest's targets are read with their dependencies")
    func readsManifest() {
        let found = Self.manifest.targets.mapValues(\.dependencies)
        #expect(
            found == [
                "A": [], "B": ["A"], "CC": [], "S": ["B", "CC", "NIOCore", "NIOPosix"], "N": ["NIOCore", "NIOPosix"],
                "D": ["S", "N", "NIOCore", "NIOPosix"], "peer": ["A", "Parser"], "BTests": ["B"], "ATests": [],
            ])
        #expect(Self.manifest.targets["peer"]?.path == "Tests/peer")
        #expect(Self.manifest.targets.values.filter(\.isTest).map(\.name).sorted() == ["ATests", "BTests"])
    }

    @Test(
        "a dependency that is missing or unused is found",
        arguments: [
            ("B", ["A", "Glibc"], []),
            ("B", [], ["B depends on A, which it never imports"]),
            ("A", ["B"], ["A imports B, which its dependencies lack"]),
            ("A", ["NIOCore"], ["A imports NIOCore, which its dependencies lack"]),
            ("S", ["B", "CC", "NIOCore"], ["S depends on NIOPosix, which it never imports"]),
            ("BTests", ["B", "Testing"], []),
            ("BTests", [], []),
            ("ATests", ["A"], ["ATests imports A, which its dependencies lack"]),
            ("Gone", [], ["Gone is not in Package.swift"]),
        ] as [(String, Set<String>, [String])])
    func disagreements(target: String, imports: Set<String>, expected: [String]) {
        #expect(Self.manifest.disagreements(target: target, imports: imports) == expected)
    }
}
