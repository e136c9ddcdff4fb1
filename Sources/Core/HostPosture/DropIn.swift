/// A file that adds to one of rpcbind's units what setup wants there.
struct DropIn {
    var path: String
    var folder: String
    var text: String
    /// The unit as it is now does what the drop-in is for, whoever made it so.
    var isInForce: Bool
    /// What the unit lacks while that is not so.
    var lack: String

    /// It is to be written: nothing does it yet, or what an earlier setup wrote is another text.
    func isDue(_ facts: SetupFacts) -> Bool {
        guard let bytes = facts.files[path] else { return !isInForce }
        return bytes != Array(text.utf8) && isSetups(bytes, facts)
    }

    func isForeign(_ facts: SetupFacts) -> Bool {
        guard let bytes = facts.files[path] else { return false }
        return bytes != Array(text.utf8) && !isSetups(bytes, facts)
    }

    private func isSetups(_ bytes: [UInt8], _ facts: SetupFacts) -> Bool {
        facts.record.entries.contains(.file(path, mark: SetupRecord.mark(of: bytes)))
            || bytes == Array(SetupFiles.socketDropInTextOf010.utf8)
    }
}
