import Addresses

/// One line of `probe`.
public struct ProbeRow: Hashable, Sendable, Encodable {
    public var subject: ProbeSubject
    public var programName: String?
    /// The address that was asked.
    public var address: String
    public var finding: ServiceProbe.Finding
    /// From the first packet to the verdict.
    public var time: Duration

    public init(
        _ subject: ProbeSubject, programName: String?, address: String, _ finding: ServiceProbe.Finding, time: Duration
    ) {
        (self.subject, self.programName, self.address) = (subject, programName, address)
        (self.finding, self.time) = (finding, time)
    }

    /// The program and the transport, such as `nfs/tcp`.
    public var service: String { "\(programName ?? "\(subject.program)")/\(subject.transport)" }

    private var microseconds: Int64 {
        let (seconds, attoseconds) = time.components
        return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }

    /// The time in seconds, with six decimals and no exponent.
    var seconds: String {
        let digits = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - digits.utf8.count) + digits
    }

    private enum CodingKeys: String, CodingKey {
        case program
        case programName = "program_name"
        case version, transport, address, port, verdict, detail, seconds
    }

    /// All keys, with null for what isn't known.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(subject.program.rawValue, forKey: .program)
        try container.encode(programName, forKey: .programName)
        try container.encode(subject.version, forKey: .version)
        try container.encode(subject.transport.description, forKey: .transport)
        try container.encode(address, forKey: .address)
        try container.encode(finding.port, forKey: .port)
        try container.encode(finding.verdict.rawValue, forKey: .verdict)
        try container.encode(finding.detail, forKey: .detail)
        try container.encode(Double(microseconds) / 1e6, forKey: .seconds)
    }
}
