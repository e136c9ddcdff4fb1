import Bundles
import Clock

/// What the key `policy/GROUP/current` says: the bundle that is in force, which lies in pieces under keys of its own.
public struct PolicyAnnouncement: Hashable, Sendable {
    public var serial: UInt64
    /// Of the bundle with its signature, in hexadecimal.
    public var sha256: String
    public var bytes: Int
    public var notAfter: Timestamp?

    public init(serial: UInt64, sha256: String, bytes: Int, notAfter: Timestamp?) {
        self.serial = serial
        self.sha256 = sha256
        self.bytes = bytes
        self.notAfter = notAfter
    }

    /// etcd takes 1.5 MiB at once.
    public static let pieceBytes = 512 << 10

    public var pieceCount: Int { (bytes + Self.pieceBytes - 1) / Self.pieceBytes }

    /// `{"v":1,"serial":"42","sha256":"…","bytes":"8123","not-after":"2027-11-30T10:00:00Z"}`
    public var text: [UInt8] {
        var writer = JSONWriter()
        writer.version()
        writer.number("serial", serial)
        writer.text("sha256", sha256)
        writer.number("bytes", bytes)
        if let notAfter { writer.text("not-after", "\(notAfter)") }
        return writer.bytes
    }

    public init(text: some Collection<UInt8>) throws(RecordText.Fault) {
        guard let object = JSONObject(text) else { throw .malformed }
        guard object.number("v") == RecordText.version else { throw .version }
        let reader = MemberReader(object: object)
        serial = try reader.count("serial")
        guard (1...PolicyBundle.serialMax).contains(serial) else { throw .member("serial") }
        sha256 = try reader.text("sha256")
        guard sha256.utf8.count == 64, sha256.utf8.allSatisfy(Self.isDigit) else { throw .member("sha256") }
        bytes = try reader.size("bytes")
        guard (1...PolicyBundle.bytesMax).contains(bytes) else { throw .member("bytes") }
        guard object.has("not-after") else { return }
        notAfter = Timestamp(try reader.text("not-after"))
        if notAfter == nil { throw .member("not-after") }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
}
