import Firewall
import Testing

@Suite("the trial of tables that are owned")
struct OwnedTablesTests {
    private static func verdict(_ errno: Int32) -> OwnedTables {
        OwnedTables(trial: CommitFailure(errno: errno, message: "no"))
    }

    @Test("the kernel takes the table, or doesn't know its flags: EINVAL before 5.12, EOPNOTSUPP since")
    func verdicts() {
        #expect(OwnedTables(trial: nil) == .supported)
        for errno: Int32 in [22, 95] { #expect(Self.verdict(errno) == .unsupported) }
    }

    @Test(
        "another failure proves nothing: no capability, such a table exists, the kernel is short of memory or busy",
        arguments: [Int32(1), 17, 12, 11, 16, 85, 105])
    func unknown(errno: Int32) {
        #expect(Self.verdict(errno) == .unknown(CommitFailure(errno: errno, message: "no")))
    }
}
