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
}
