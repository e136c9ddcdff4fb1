import Clock
import FleetRecords
import Testing

@Suite("the announcement of a policy") struct PolicyAnnouncementTests {
    private static let hash = String(repeating: "0a", count: 32)
    private let whole = PolicyAnnouncement(
        serial: 42, sha256: hash, bytes: 8123, notAfter: Timestamp("2027-11-30T10:00:00Z"))

    @Test("is read as it was written, with and without an end")
    func roundTrip() throws {
        var announcement = whole
        #expect(
            String(decoding: announcement.text, as: UTF8.self)
                == "{\"v\":1,\"serial\":\"42\",\"sha256\":\"\(Self.hash)\",\"bytes\":\"8123\","
                + "\"not-after\":\"2027-11-30T10:00:00Z\"}")
        #expect(try PolicyAnnouncement(text: announcement.text) == announcement)
        announcement.notAfter = nil
        #expect(try PolicyAnnouncement(text: announcement.text) == announcement)
    }

    @Test(
        "is refused with a value that can't be",
        arguments: [
            ("\"42\"", "\"0\"", "serial"), ("\"42\"", "\"9007199254740993\"", "serial"), ("0a0a", "0A0a", "sha256"),
            ("0a0a", "0a", "sha256"), ("\"8123\"", "\"0\"", "bytes"), ("\"8123\"", "\"4194305\"", "bytes"),
            ("2027-11-30T", "2027-11-31T", "not-after"),
        ])
    func refused(part: String, by other: String, member: String) {
        var text = String(decoding: whole.text, as: UTF8.self)
        if let range = text.firstRange(of: part) { text.replaceSubrange(range, with: other) }
        #expect(throws: RecordText.Fault.member(member)) { try PolicyAnnouncement(text: text.utf8) }
    }

    @Test("is refused of another version, and cut")
    func version() {
        let text = String(decoding: whole.text, as: UTF8.self).replacing("\"v\":1", with: "\"v\":2")
        #expect(throws: RecordText.Fault.version) { try PolicyAnnouncement(text: text.utf8) }
        #expect(throws: RecordText.Fault.malformed) { try PolicyAnnouncement(text: text.utf8.dropLast()) }
    }

    @Test("counts its pieces of 512 KiB", arguments: [(1, 1), (524_288, 1), (524_289, 2), (4_194_304, 8)])
    func pieces(bytes: Int, expected: Int) {
        let announcement = PolicyAnnouncement(serial: 1, sha256: Self.hash, bytes: bytes, notAfter: nil)
        #expect(announcement.pieceCount == expected)
    }
}
