import Reports
import Testing

@Suite("names of rotated files") struct RotatedNameTests {
    @Test(
        "logrotate's numbers and dates, compressed or not, behind the name or in front of its extension",
        arguments: [
            "audit.jsonl.1", "audit.jsonl.12.gz", "audit.jsonl.2.xz", "audit.jsonl.2.zst", "audit.jsonl-20261121",
            "audit.jsonl-20261121.bz2", "audit.jsonl-2026112108", "audit.jsonl-2026-11-21", "audit.jsonl.2026_11_21",
            "audit.jsonl-20261121-1795248000", "audit.jsonl-1795248000", "audit-20261121.jsonl.gz", "audit.1.jsonl",
        ])
    func rotated(name: String) { #expect(RotatedName.isRotation(name, of: "audit.jsonl")) }

    @Test(
        "neither other files nor other hosts",
        arguments: [
            ("audit.jsonl", "audit.jsonl"), ("audit.jsonl.gz", "audit.jsonl"), ("audit.jsonl.bak", "audit.jsonl"),
            ("audit.jsonl.1.bak", "audit.jsonl"), ("nfs-2", "nfs"), ("fs-01", "fs"), ("fs-20269999", "fs"),
            ("fs.192.168.100.1", "fs"), ("10.20.0.1", "10.20.0.2"), ("10.20.0.7.1", "10.20.0.1"), ("fs.", "fs"),
            ("fs.12345", "fs"), ("fs-", "fs"), ("audit2.jsonl", "audit.jsonl"), ("a.b.c.d", "a.d"), ("", ""),
        ])
    func others(name: String, base: String) { #expect(!RotatedName.isRotation(name, of: base)) }

    @Test("a rotated file's log must be there; of several the longest name counts")
    func base() {
        #expect(RotatedName.base(of: "fs.2.gz", among: ["fs.2.gz", "fs", "f", "fs.1"]) == "fs")
        #expect(RotatedName.base(of: "10.20.0.1", among: ["10.20.0.1", "10.20.0.2"]) == nil)
        #expect(RotatedName.base(of: "a.1.1", among: ["a", "a.1"]) == "a.1")
        #expect(RotatedName.decompressor(of: "a.zst") == "zstd" && RotatedName.decompressor(of: "a.jsonl") == nil)
        #expect(RotatedName.uncompressed("a.jsonl.gz") == "a.jsonl" && RotatedName.uncompressed("a.1") == "a.1")
    }
}
