import Bundles
import Clock
import Testing

@Suite("A policy's bundle") struct PolicyBundleTests {
    static let files = [
        PolicyBundle.File(name: "20-rules.yaml", bytes: Array("rules: []\n# end\nend\n".utf8)),
        PolicyBundle.File(name: "10-clients.yaml", bytes: []),
    ]

    static func bundle(
        fleet: String = "lab", group: String = "nfs", serial: UInt64 = 42, created: Int64 = 1_796_000_000_123,
        notAfter: Int64? = nil, files: [PolicyBundle.File] = files
    ) -> PolicyBundle {
        PolicyBundle(
            fleet: fleet, group: group, serial: serial, created: Timestamp(milliseconds: created),
            notAfter: notAfter.map { Timestamp(milliseconds: $0) }, files: files)
    }

    @Test("is text that a person can read, in one order")
    func container() {
        let text = String(decoding: Self.bundle(notAfter: 1_900_000_000_000).container, as: UTF8.self)
        #expect(
            text == """
                rpcwarden-policy 1
                fleet lab
                group nfs
                serial 42
                created 2026-11-30T00:53:20Z
                not-after 2030-03-17T17:46:40Z
                file 0 10-clients.yaml

                file 20 20-rules.yaml
                rules: []
                # end
                end

                end

                """)
    }

    @Test("is read as it was written", arguments: [nil, 1_900_000_000_000])
    func roundTrip(notAfter: Int64?) throws {
        let bundle = Self.bundle(notAfter: notAfter)
        #expect(bundle.flaw == nil)
        #expect(try PolicyBundle(container: bundle.container[...]) == bundle)
    }

    @Test(
        "is refused if it isn't written as bundles are, with the line",
        arguments: [
            ("rpcwarden-policy 1", "rpcwarden-policy 2", 1), ("fleet lab", "fleet ../lab", 14),
            ("group nfs", "group", 3),
            ("serial 42", "serial 042", 14), ("serial 42", "serial -1", 4), ("serial 42", "serial 0", 14),
            ("created 2026-11-30", "created 2026-13-30", 5), ("not-after 2030", "not-after 2020", 14),
            ("not-after", "not_after", 6), ("file 20 20-rules.yaml", "file 19 20-rules.yaml", 13),
            ("file 20 20-rules.yaml", "file 21 20-rules.yaml", 9),
            ("file 20 20-rules.yaml", "file 9999 20-rules.yaml", 9),
            ("file 20 20-rules.yaml", "file -1 20-rules.yaml", 9),
            ("file 20 20-rules.yaml", "file 20  20-rules.yaml", 9),
            ("10-clients.yaml", "/etc/10.yaml", 14), ("10-clients.yaml", "10-clients.yml", 14),
            ("10-clients.yaml", "20-rules.yaml", 14), ("10-clients.yaml", "30-clients.yaml", 14),
        ])
    func refused(old: String, new: String, line: Int) throws {
        let text = String(decoding: Self.bundle(notAfter: 1_900_000_000_000).container, as: UTF8.self)
        #expect(text.contains(old))
        let changed = Array(text.replacing(old, with: new).utf8)
        let fault = #expect(throws: PolicyBundle.Fault.self) { try PolicyBundle(container: changed[...]) }
        #expect(fault?.line == line, "\(String(describing: fault))")
    }

    @Test("is refused wherever it was cut, and with anything behind its end")
    func cut() {
        let bytes = Self.bundle().container
        for count in 0..<bytes.count {
            #expect(throws: PolicyBundle.Fault.self) { try PolicyBundle(container: bytes.prefix(count)) }
        }
        #expect(throws: PolicyBundle.Fault.self) { try PolicyBundle(container: (bytes + [10])[...]) }
    }

    @Test("has names that can be parts of paths and keys, and not too much in it")
    func flaws() {
        let name = String(repeating: "a", count: 65)
        for bad in ["", "a/b", ".", "..", "-a", "ä", "a b", name] {
            #expect(Self.bundle(fleet: bad).flaw?.contains("no name of a fleet") == true, "\(bad)")
            #expect(Self.bundle(group: bad).flaw?.contains("no name of a group") == true, "\(bad)")
        }
        #expect(Self.bundle(group: "nfs_1-a.b").flaw == nil)
        for serial in [0, PolicyBundle.serialMax + 1] {
            #expect(Self.bundle(serial: serial).flaw?.contains("use 1 to 9007199254740992") == true)
        }
        #expect(Self.bundle(notAfter: 0).flaw?.contains("not-after") == true)
        #expect(Self.bundle(files: []).flaw == "there is no *.yaml file")
        let large = PolicyBundle.File(name: "a.yaml", bytes: [UInt8](repeating: 32, count: PolicyBundle.bytesMax))
        #expect(Self.bundle(files: [large]).flaw?.contains("too many") == true)
        let many = (0...PolicyBundle.filesMax).map { PolicyBundle.File(name: "a\($0).yaml", bytes: []) }
        #expect(Self.bundle(files: many).flaw?.contains("more than") == true)
    }

    @Test("ends after it was made", arguments: [(0, false), (999, false), (1000, true)])
    func notAfter(milliseconds: Int64, isSound: Bool) {
        let created = Int64(1_796_000_000_000)
        let bundle = Self.bundle(created: created, notAfter: created + milliseconds)
        #expect((bundle.flaw == nil) == isSound)
    }
}
