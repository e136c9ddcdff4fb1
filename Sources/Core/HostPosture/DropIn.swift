/// A drop-in file with the settings that setup adds to one of rpcbind's units.
struct DropIn {
    var path: String
    var folder: String
    var text: String
    /// The unit already has the settings of the drop-in, from any file.
    var isInForce: Bool
    /// The settings that the unit lacks while ``isInForce`` is false.
    var lack: String

    /// The drop-in has to be written: the settings are not in force, or an earlier setup wrote another text.
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
