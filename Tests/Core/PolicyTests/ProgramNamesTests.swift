import Addresses
import Policy
import Testing

@Suite("program names") struct ProgramNamesTests {
    @Test("knows nothing without a file")
    func empty() {
        for names in [ProgramNames(), ProgramNames(etcRPC: ""), ProgramNames(etcRPC: "\n\n# nothing\n   \n")] {
            #expect(names.program(named: "nfs") == nil)
            #expect(names.name(of: .nfs) == nil)
            #expect(names.allNames.isEmpty)
        }
    }

    @Test(
        "passes over a line that is none",
        arguments: [
            "nfs", "nfs ", "100003", "nfs 100003x", "nfs -1", "nfs 4294967296", "nfs 0x186a3", "100003 nfs",
            "# nfs 100003", "nfs # 100003",
            "nfs nfsprog 100003",
        ])
    func oddLine(line: String) {
        let names = ProgramNames(etcRPC: "\(line)\nmountd 100005\n")
        #expect(names.program(named: "nfs") == nil)
        #expect(names.name(of: .nfs) == nil)
        #expect(names.program(named: "mountd") == .mountd)
    }

    @Test("reads names, aliases and comments, with any blanks and line ends")
    func reads() {
        let names = ProgramNames(
            etcRPC:
                "#ident\r\nportmapper\t100000\tportmap sunrpc rpcbind # the mapper\r\n\n  nfs   100003 nfsprog#aliases\nmountd 100005"
        )
        #expect(names.program(named: "portmapper") == .portmapper)
        #expect(names.program(named: "rpcbind") == .portmapper)
        #expect(names.program(named: "nfsprog") == .nfs)
        #expect(names.program(named: "nfsprog#aliases") == nil)
        #expect(names.program(named: "mapper") == nil)
        #expect(names.program(named: "NFS") == nil)
        #expect(names.program(named: "mountd") == .mountd)
        #expect(names.name(of: .portmapper) == "portmapper")
        #expect(names.name(of: .nfs) == "nfs")
        #expect(names.name(of: .status) == nil)
        #expect(Set(names.allNames) == ["portmapper", "portmap", "sunrpc", "rpcbind", "nfs", "nfsprog", "mountd"])
    }

    @Test("of duplicates the first counts, for names and for numbers")
    func duplicates() {
        let names = ProgramNames(etcRPC: "nfs 100003\nnfs 7\nother 100003 nfs\nlate 9 other\n")
        #expect(names.program(named: "nfs") == .nfs)
        #expect(names.program(named: "other") == .nfs)
        #expect(names.program(named: "late") == Program(9))
        #expect(names.name(of: .nfs) == "nfs")
        #expect(names.name(of: Program(7)) == "nfs")
    }

    @Test(
        "a rule is labelled by its file, line and name",
        arguments: [
            ("/etc/rpcwarden/policy.d/policy.yaml", "policy.yaml:14 \"a\""), ("policy.yaml", "policy.yaml:14 \"a\""),
            ("", ":14 \"a\""),
        ])
    func label(file: String, label: String) {
        var sample = rule(from: [])
        sample.name = "a"
        sample.location = Location(file: file, line: 14, column: 3)
        #expect(sample.label == label)
    }

    @Test("never opens less than on-lookup, and that less than always")
    func openings() {
        #expect(Opening.allCases.sorted() == [.never, .onLookup, .always])
    }
}
