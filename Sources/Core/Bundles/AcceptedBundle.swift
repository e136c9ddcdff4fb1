import Clock

/// What a node remembers of the bundle that it accepted last, and tells about it.
public struct AcceptedBundle: Hashable, Sendable {
    public var fleet: String
    public var group: String
    public var serial: UInt64
    public var created: Timestamp
    public var notAfter: Timestamp?
    /// The container's hash, in hexadecimal.
    public var digest: String

    public init(_ bundle: PolicyBundle, digest: String) {
        fleet = bundle.fleet
        group = bundle.group
        serial = bundle.serial
        created = bundle.created
        notAfter = bundle.notAfter
        self.digest = digest
    }

    /// Why a bundle may not follow this one, or `nil`. Serials of another group count by themselves, and those of another
    /// fleet if this host is of it.
    ///
    /// - Parameter configured: the fleet that this host is of; `nil`: that of the first bundle that it accepts.
    public func refusal(of next: AcceptedBundle, inFleet configured: String? = nil) -> String? {
        guard next.group == group else { return nil }
        guard next.fleet == fleet else {
            return configured == nil
                ? "it is of fleet \"\(next.fleet)\", and one of fleet \"\(fleet)\" was accepted before" : nil
        }
        if next.serial < serial { return "serial \(next.serial) is older than \(serial), which was accepted before" }
        guard next.serial == serial, next.digest != digest else { return nil }
        return "serial \(serial) was accepted before with other contents"
    }

    public func hasExpired(at time: Timestamp) -> Bool { notAfter.map { time > $0 } ?? false }

    /// `fleet lab, group nfs, serial 42`.
    public var description: String { "fleet \(fleet), group \(group), serial \(serial)" }
}

// MARK: As text

extension AcceptedBundle {
    private static let version = "rpcwarden-accepted 1"
    public static let textBytesMax = 1024

    /// The file that outlives the daemon:
    ///
    ///     rpcwarden-accepted 1
    ///     fleet lab
    ///     group nfs
    ///     serial 42
    ///     created 2026-11-30T10:00:00Z
    ///     not-after -
    ///     digest 5f…
    public var text: [UInt8] {
        let lines = [
            Self.version, "fleet \(fleet)", "group \(group)", "serial \(serial)", "created \(created)",
            "not-after \(notAfter.map(\.description) ?? "-")", "digest \(digest)",
        ]
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    /// `nil` if the text isn't what ``text`` writes.
    public init?(text: [UInt8]) {
        guard text.count <= Self.textBytesMax, text.last == PolicyBundle.newline else { return nil }
        let lines = String(decoding: text.dropLast(), as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false)
        func value(_ index: Int, _ key: String) -> String? {
            guard lines.count == 7, lines[index].hasPrefix(key + " ") else { return nil }
            return String(lines[index].dropFirst(key.count + 1))
        }
        guard lines.first.map(String.init) == Self.version, let fleet = value(1, "fleet"),
            let group = value(2, "group"), let serial = value(3, "serial").flatMap({ UInt64($0) }),
            let created = value(4, "created").flatMap({ Timestamp($0) }), let end = value(5, "not-after"),
            let digest = value(6, "digest"), PolicyBundle.isName(fleet), PolicyBundle.isName(group)
        else { return nil }
        self.fleet = fleet
        self.group = group
        self.serial = serial
        self.created = created
        notAfter = Timestamp(end)
        self.digest = digest
        guard self.text == text else { return nil }
    }
}
