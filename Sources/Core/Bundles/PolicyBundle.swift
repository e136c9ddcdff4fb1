import Clock

/// The policy of a group of a fleet's nodes: its files, and what the publisher says about them.
///
/// Its container is text, so that a person can read what was signed:
///
///     rpcwarden-policy 1
///     fleet lab
///     group nfs
///     serial 42
///     created 2026-11-30T10:00:00Z
///     not-after 2027-11-30T10:00:00Z
///     file 1234 10-clients.yaml
///     …1234 bytes…
///     end
///
/// `not-after` may be missing. Each bundle has one container: the lines have this order, the files that of their names.
public struct PolicyBundle: Hashable, Sendable {
    public struct File: Hashable, Sendable {
        /// `10-clients.yaml`: no folder.
        public var name: String
        public var bytes: [UInt8]

        public init(name: String, bytes: [UInt8]) {
            self.name = name
            self.bytes = bytes
        }
    }

    public var fleet: String
    public var group: String
    /// Grows with each bundle of the group.
    public var serial: UInt64
    public var created: Timestamp
    /// The publisher's word for how long the policy is right; `nil`: for good.
    public var notAfter: Timestamp?
    /// In the order of their names.
    public var files: [File]

    /// ``validated`` must hold before the container is made.
    public init(
        fleet: String, group: String, serial: UInt64, created: Timestamp, notAfter: Timestamp? = nil, files: [File]
    ) {
        self.fleet = fleet
        self.group = group
        self.serial = serial
        self.created = created.wholeSeconds
        self.notAfter = notAfter?.wholeSeconds
        self.files = files.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    public static let version = "rpcwarden-policy 1"
    /// Of a container with its signature: what one file of a policy may have.
    public static let bytesMax = 4 << 20
    public static let filesMax = 1024
    /// Rules that all name other clients cost the square of their number.
    public static let rulesMax = 2048
    /// JSON and metrics keep it exact.
    public static let serialMax: UInt64 = 1 << 53
    static let nameBytesMax = 64
    static let fileNameBytesMax = 128

    /// Why the bytes are no container.
    public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
        /// The line's number in the container, from 1.
        public var line: Int
        public var what: String

        public var description: String { "line \(line): \(what)" }
    }

    /// What keeps the parts from being a bundle, or `nil`.
    public var flaw: String? {
        if !Self.isName(fleet) { return "\"\(fleet)\" is no name of a fleet: use \(Self.nameRule)" }
        if !Self.isName(group) { return "\"\(group)\" is no name of a group: use \(Self.nameRule)" }
        if !(1...Self.serialMax).contains(serial) {
            return "serial \(serial) is out of range; use 1 to \(Self.serialMax)"
        }
        if let notAfter, notAfter <= created { return "not-after \(notAfter) is not after \(created)" }
        if files.isEmpty { return "there is no *.yaml file" }
        if files.count > Self.filesMax { return "there are more than \(Self.filesMax) files" }
        if let file = files.first(where: { !Self.isFileName($0.name) }) {
            return "\"\(file.name)\" is no name of a policy's file: use letters, digits, _, - and ., ending in .yaml"
        }
        for (file, next) in zip(files, files.dropFirst()) where file.name == next.name {
            return "\"\(file.name)\" is there twice"
        }
        let bytes = container.count + SignedBundle.signatureBytesMax
        return bytes > Self.bytesMax ? "\(bytes) bytes are too many; use at most \(Self.bytesMax)" : nil
    }

    /// Whether the text can name a fleet or a group: it becomes a part of keys and of file names.
    public static func isName(_ text: String) -> Bool {
        (1...nameBytesMax).contains(text.utf8.count) && text.utf8.allSatisfy(isWord) && text.utf8.first != dot
            && text.utf8.first != UInt8(ascii: "-")
    }

    public static let nameRule = "letters, digits, _, - and ., a letter, a digit or _ first, at most \(nameBytesMax)"

    static func isFileName(_ text: String) -> Bool {
        (1...fileNameBytesMax).contains(text.utf8.count) && text.utf8.allSatisfy(isWord) && text.utf8.first != dot
            && text.hasSuffix(".yaml")
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), UInt8(ascii: "-"), dot:
            true
        default: false
        }
    }

    private static let dot = UInt8(ascii: ".")
    static let newline = UInt8(ascii: "\n")
}

// MARK: The container

extension PolicyBundle {
    /// The bytes that are signed.
    public var container: [UInt8] {
        var bytes: [UInt8] = []
        func line(_ text: String) {
            bytes += text.utf8
            bytes.append(Self.newline)
        }
        line(Self.version)
        line("fleet \(fleet)")
        line("group \(group)")
        line("serial \(serial)")
        line("created \(created)")
        if let notAfter { line("not-after \(notAfter)") }
        for file in files {
            line("file \(file.bytes.count) \(file.name)")
            bytes += file.bytes
            bytes.append(Self.newline)
        }
        line("end")
        return bytes
    }

    /// Reads a container; one that ``container`` would have written otherwise is refused.
    public init(container bytes: ArraySlice<UInt8>) throws(Fault) {
        var reader = Reader(rest: bytes)
        guard bytes.count <= Self.bytesMax else { throw reader.fault("more than \(Self.bytesMax) bytes") }
        guard try reader.line() == Self.version else { throw reader.fault("expected \"\(Self.version)\"") }
        let fleet = try reader.value("fleet")
        let group = try reader.value("group")
        guard let serial = UInt64(try reader.value("serial")) else { throw reader.fault("the serial is no number") }
        let created = try reader.time("created")
        var next = try reader.line()
        var notAfter: Timestamp?
        if next.hasPrefix("not-after ") {
            notAfter = Timestamp(next.dropFirst("not-after ".count))
            guard notAfter != nil else { throw reader.fault("not-after is no time") }
            next = try reader.line()
        }
        var files: [File] = []
        while next != "end" {
            guard files.count < Self.filesMax else { throw reader.fault("more than \(Self.filesMax) files") }
            files.append(try reader.file(named: next))
            next = try reader.line()
        }
        guard reader.rest.isEmpty else { throw reader.fault("nothing may follow the end") }
        self.init(fleet: fleet, group: group, serial: serial, created: created, notAfter: notAfter, files: files)
        if let flaw { throw reader.fault(flaw) }
        guard bytes.elementsEqual(container) else { throw reader.fault("it isn't written as bundles are") }
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>
        private var lineNumber = 0

        init(rest: ArraySlice<UInt8>) { self.rest = rest }

        func fault(_ what: String) -> Fault { Fault(line: max(lineNumber, 1), what: what) }

        mutating func line() throws(Fault) -> String {
            lineNumber += 1
            let bytesMax = 256
            guard let end = rest.prefix(bytesMax).firstIndex(of: PolicyBundle.newline) else {
                throw fault(rest.count < bytesMax ? "the bundle ends within it" : "it is too long")
            }
            defer { rest = rest[(end + 1)...] }
            return String(decoding: rest[..<end], as: UTF8.self)
        }

        mutating func value(_ key: String) throws(Fault) -> String {
            let line = try line()
            guard line.hasPrefix(key + " ") else { throw fault("expected \"\(key)\"") }
            return String(line.dropFirst(key.count + 1))
        }

        mutating func time(_ key: String) throws(Fault) -> Timestamp {
            guard let time = Timestamp(try value(key)) else { throw fault("\(key) is no time") }
            return time
        }

        mutating func file(named line: String) throws(Fault) -> File {
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 3, words[0] == "file", let count = Int(words[1]), count >= 0 else {
                throw fault("expected \"file\" or \"end\"")
            }
            // The newline after the file is not the file's.
            guard count < rest.count else { throw fault("the bundle ends within file \"\(words[2])\"") }
            let bytes = rest.prefix(count)
            rest = rest.dropFirst(count)
            guard rest.first == PolicyBundle.newline else {
                throw fault("file \"\(words[2])\" hasn't \(count) bytes")
            }
            rest = rest.dropFirst()
            lineNumber += bytes.count { $0 == PolicyBundle.newline } + 1
            return File(name: String(words[2]), bytes: Array(bytes))
        }
    }
}
