import Policy
import PolicyDrafts
import Testing

/// Exports from handbooks, forums, bug reports and tools, with the clients that the draft names, and a text of
/// each warning and error.
private struct Written: CustomTestStringConvertible {
    var text: String
    var clients: [String]
    var told: [String]

    init(_ text: String, _ clients: [String], _ told: String...) {
        self.text = text
        self.clients = clients
        self.told = told
    }

    var testDescription: String { text }
}

@Suite("import-exports of what people write") struct ExportsCorpusTests {
    @Test(
        "the right clients, and a word about the rest",
        arguments: [
            // Handbooks.
            Written("/srv/nfs4 192.168.1.0/24(rw,sync,no_subtree_check,crossmnt,fsid=0)", ["192.168.1.0/24"]),
            Written("/home\t\t192.168.0.0/255.255.255.0(rw,async)", ["192.168.0.0/24"]),
            Written("/pub (ro,insecure,all_squash)", [], "a client's name is missing"),
            Written("/pub *(ro,insecure,all_squash)", ["0.0.0.0/0", "\"::/0\""], "whole world (*)"),
            Written("/projects proj*.local.domain(rw)", [], "a wildcard, which is compared with reverse DNS names"),
            Written("/usr *.local.domain(ro) @trusted(rw)", [], "a wildcard", "a netgroup"),
            Written("/home/joe pc001(rw,all_squash,anonuid=150,anongid=100)", [], "a name without its domain"),
            Written("/ master(rw) trusty(rw,no_root_squash)", [], "without its domain", "without its domain"),
            Written(
                "/foo 2001:db8:9:e54::/64(rw) 192.0.2.0/24(rw)", ["\"2001:db8:9:e54::/64\"", "192.0.2.0/24"]),
            Written(
                "/build buildhost[0-9].local.domain(rw)", [], "write the prefixes of these clients"),
            Written("/export gss/krb5(rw,sync) gss/krb5i(rw,sync)", [], "a Kerberos ticket", "a Kerberos ticket"),
            Written("/export *(sec=krb5p,rw)", ["0.0.0.0/0", "\"::/0\""], "whole world"),
            Written("/exports -sec=sys,rw 192.0.2.1 192.0.2.2", ["192.0.2.1", "192.0.2.2"]),
            Written("/exports -sec=sys,rw host1 host2", [], "without its domain", "without its domain"),
            Written(
                "/srv -sync,rw server.example.com @netgroup 10.0.0.1(ro)", ["\"server.example.com\"", "10.0.0.1"],
                "a netgroup"),
            // The well-known blank before the options.
            Written("/home bob.example.com (rw)", ["\"bob.example.com\""], "a client's name is missing"),
            Written("/home 10.0.0.1(rw) (ro)", ["10.0.0.1"], "a client's name is missing"),
            Written("/home\t10.0.0.1\t(rw)", ["10.0.0.1"], "a client's name is missing"),
            Written(
                "/home 10.0.0.1(rw, sync)", [], "1:7: error: \"10.0.0.1(rw,\" doesn't end in a complete option list"),
            // Host bits, brackets, zones, other families.
            Written("/vagrant 192.168.1.28/24(rw,no_subtree_check)", ["192.168.1.0/24"], "all of 192.168.1.0/24"),
            Written("/vagrant 192.168.1.28/255.255.255.0(rw)", ["192.168.1.0/24"], "write 192.168.1.28 for"),
            Written("/tank 2001:db8::28/64(rw)", ["\"2001:db8::/64\""], "all of 2001:db8::/64"),
            Written("/tank [fd00::]/64(rw)", ["\"fd00::/64\""], "read as fd00::/64: write it without"),
            Written("/tank [2001:db8::7](rw)", ["\"2001:db8::7\""], "nfs-utils reads brackets as a wildcard"),
            Written("/tank [fd00::/64](rw)", ["\"fd00::/64\""], "nfs-utils reads brackets as a wildcard"),
            Written("/tank [fd00::]/129(rw)", [], "its mask is neither a prefix length"),
            Written("/tank fe80::1%eth0(rw)", [], "a zone; write fe80::1"),
            Written("/tank fe80::/64%eth0(rw)", [], "neither a prefix length"),
            Written("/tank ::ffff:192.0.2.1(rw)", [], "write it as IPv4"),
            Written("/tank 10.0.0.0/8(rw) fd00::/8(rw) ::1(rw)", ["10.0.0.0/8", "\"fd00::/8\""]),
            Written("/tank 192.168.1.*(rw)", [], "write 192.168.1.0/24 if these addresses are meant"),
            Written("/tank 10.*.*.*(rw)", [], "write 10.0.0.0/8 if these addresses are meant"),
            Written("/tank 192.168.1.0/24,192.168.2.0/24(rw)", [], "commas separate only options"),
            Written("/tank 192.168.1.1-192.168.1.9(rw)", [], "not a valid address"),
            Written("/tank 192.168.1.0/24:rw", [], "its mask is neither a prefix length"),
            Written("/tank 0.0.0.0/0.0.0.0(ro)", ["0.0.0.0/0"], "whole world"),
            // Lines written by tools.
            Written(
                "\"/tank/a b\" 192.0.2.7(sec=sys,rw,no_subtree_check,mountpoint,crossmnt)", ["192.0.2.7"]),
            Written("/tank/a\\040b 192.0.2.7(sec=sys,rw,no_subtree_check,mountpoint)", ["192.0.2.7"]),
            Written("/tank/quoted \"192.0.2.7\"(rw)", ["192.0.2.7"]),
            Written(
                "# VAGRANT-BEGIN: 1000 3f2a\n\"/home/u/x\" 172.28.128.3(rw,all_squash,anonuid=1000,anongid=1000,fsid=7)\n"
                    + "# VAGRANT-END: 1000 3f2a\n", ["172.28.128.3"]),
            Written(
                "/var/snap/x 10.152.183.0/24(rw,no_root_squash,insecure)# k8s", [],
                "1:13: error: \"10.152.183.0/24(rw,no_root_squash,insecure)#\" doesn't end in a complete option list"),
            // The BSDs and macOS.
            Written(
                "/Users -alldirs -mapall=501:20 -network 192.168.64.0 -mask 255.255.255.0", [],
                "BSDs and macOS", "-network"),
            Written("/Users -network 192.168.33.0 -mask 255.255.255.0", [], "write 192.168.33.0/24(rw)"),
            Written("/data -maproot=root -network=10.1.2.0/24", [], "write 10.1.2.0/24(rw)"),
            Written("/data -network 2001:db8::/64", [], "write 2001:db8::/64(rw)"),
            Written("/data -network 192.168.33.0", [], "write the network with its length"),
            Written("\"/Users/u\" 192.168.50.4 -alldirs -mapall=501:20", ["192.168.50.4"], "BSDs and macOS"),
            Written("V4: /export -sec=sys", [], "BSDs and macOS"),
            Written("/usr /usr/local -maproot=0:10 friends", [], "a second path", "BSDs and macOS"),
            // Lines and their ends.
            Written("/a \\\n\t10.0.0.1(rw) \\\n\t10.0.0.2(ro)\n", ["10.0.0.1", "10.0.0.2"]),
            Written("/a 10.0.0.1(rw) \\\n   # not now: 10.0.0.2(rw)\n", ["10.0.0.1"]),
            Written("/a 10.0.0.1(rw) \\\n", ["10.0.0.1"], "ends in a backslash, and nothing follows"),
            Written("/a 10.0.0.1(rw)\r\n\r\n/b 10.0.0.2(rw)\r\n", ["10.0.0.1", "10.0.0.2"]),
            Written(
                "/a 10.0.0.1(rw) \\\r\n  10.0.0.2(rw)\r\n", ["10.0.0.1"],
                "1:17: error: a backslash before a carriage return",
                "2:3: error: \"10.0.0.2(rw)\" is not an absolute path"),
            Written(
                "/a\n    10.0.0.1(rw)\n", [], "a client's name is missing",
                "2:5: error: \"10.0.0.1(rw)\" is not an absolute"),
            Written("\n\n#/a 10.0.0.1(rw)\n   \t\n/b 10.0.0.2(rw)", ["10.0.0.2"]),
            Written("\u{feff}/a 10.0.0.1(rw)", [], "1:1: error: \"\\357\\273\\277/a\" is not an absolute path"),
            Written("/a 10.0.0.1(RW)", [], "unknown option \"RW\""),
            Written("share -F nfs -o rw=10.0.0.1 /a", [], "1:1: error: \"share\" is not an absolute path"),
            Written("/a localhost(rw) 127.0.0.1(rw)", []),
        ])
    fileprivate func named(_ written: Written) {
        let draft = exports(written.text)
        #expect(draft.policy.groups.flatMap(\.members).map { PolicyDraftsTests.written($0.term) } == written.clients)
        let remarks = draft.warnings + draft.errors
        for told in written.told { #expect(remarks.contains { $0.contains(told) }, "\(told): \(remarks)") }
        #expect(written.told.isEmpty == remarks.isEmpty, "\(remarks)")
        _ = parsed(draft.policy)
    }
}
