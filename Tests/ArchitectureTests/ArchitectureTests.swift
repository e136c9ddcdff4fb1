import Testing

@Suite("architecture") struct ArchitectureTests {
    private let repository = Repository()

    @Test("every source keeps to its level, and to the rules of the house")
    func sources() throws {
        let targets = try repository.swiftTargets(in: "Sources")
        #expect(Set(targets.map(\.name)).isSuperset(of: ["ONCRPC", "Portmapper", "Policy"]))
        for target in targets {
            for file in target.files {
                let violations = Architecture.violations(in: try repository.text(file), file: file, target: target.name)
                #expect(violations == [])
            }
        }
    }

    @Test("Package.swift declares what the sources import, and no more")
    func manifest() throws {
        let manifest = Manifest(try repository.text("Package.swift"))
        for folder in ["Sources", "Tests"] {
            for target in try repository.swiftTargets(in: folder) {
                var imports: Set<String> = []
                for file in target.files {
                    imports.formUnion(Architecture.imports(in: SourceText(try repository.text(file)).code))
                }
                #expect(manifest.disagreements(target: target.name, imports: imports) == [])
            }
        }
    }

    @Test("Package.swift gives pure targets their level")
    func manifestLevels() throws {
        let manifest = Manifest(try repository.text("Package.swift"))
        for (name, allowed) in Architecture.pure {
            guard let target = manifest.targets[name] else { continue }
            #expect(target.dependencies.isSubset(of: allowed))
        }
    }

    @Test("the daemon's program links neither TLS nor HTTP nor the client of etcd; the sidecar's does")
    func sidecarApart() throws {
        let manifest = Manifest(try repository.text("Package.swift"))
        #expect(manifest.closure(of: "rpcwarden").isDisjoint(with: Architecture.onlyOfSidecar))
        #expect(manifest.closure(of: "rpcwarden-fleet").isSuperset(of: Architecture.onlyOfSidecar))
    }

    @Test("the drawing of ARCHITECTURE shows each floor with its targets, and its table what each imports")
    func drawing() throws {
        let manifest = Manifest(try repository.text("Package.swift"))
        let document = try repository.text("docs/ARCHITECTURE.md")
        for floor in ["Ground", "Core", "Shells"] {
            let targets = manifest.targets.values.filter { $0.floor == floor }.map(\.name)
            #expect(targets.count > 3)
            let line = try #require(document.split(separator: "\n").first { $0.hasPrefix("\(floor)  ") })
            let drawn = line.matches(of: #/\w+/#).map { String($0.output) }.dropFirst()
            #expect(drawn.sorted() == targets.sorted(), "\(floor)")
        }
        let rows = document.matches(of: #/\n\| `(\w+)` \| ([^|]*) \| /#)
        let imports = Dictionary(uniqueKeysWithValues: rows.map { (String($0.output.1), String($0.output.2)) })
        let floored = manifest.targets.values.filter { $0.floor != nil }
        #expect(Set(imports.keys) == Set(floored.map(\.name)))
        for target in floored {
            let told = Set(imports[target.name, default: ""].matches(of: #/\w+/#).map { String($0.output) })
            let real = target.dependencies.subtracting(["NIOCore", "NIOPosix"])
            let hasNIO = target.dependencies.contains("NIOCore")
            #expect(told == (hasNIO ? real.union(["NIO"]) : real), "\(target.name)")
        }
    }
}
