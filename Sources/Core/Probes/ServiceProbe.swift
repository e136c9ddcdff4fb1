import Addresses
import ONCRPC
import Portmapper

public enum ProbeVerdict: String, Hashable, Sendable, CaseIterable {
    /// The service answers.
    case open
    /// The portmapper, or the service, answers that it refuses this client.
    case denied
    /// Nobody answers at the portmapper's port.
    case silent
    /// A port was told, and the program doesn't answer there.
    case shut
    /// The portmapper answers, and tells no port.
    case unregistered
}

/// The probe of one service: where it is, as the host's portmapper tells, then a NULL call to that port.
///
/// ```
/// asking ──a port──▶ calling ──▶ found
///   │  └──version 4 isn't there──▶ asking in version 3
///   └──▶ found: silent, denied, unregistered
/// ```
public struct ServiceProbe: Sendable {
    public enum Step: Hashable, Sendable {
        /// The portmapper, over the transport of the service.
        case ask(PortmapperCall)
        /// A NULL call.
        case call(port: UInt16)
        case found(Finding)
    }

    public struct Finding: Hashable, Sendable {
        public var verdict: ProbeVerdict
        /// The port that was told.
        public var port: UInt16?
        /// What was seen, where the verdict alone doesn't say it.
        public var detail: String?

        public init(_ verdict: ProbeVerdict, port: UInt16? = nil, detail: String? = nil) {
            (self.verdict, self.port, self.detail) = (verdict, port, detail)
        }
    }

    /// How a call ended.
    public enum End: Hashable, Sendable {
        /// Not ``ReplyStatus/foreign``.
        case reply(ReplyStatus)
        /// Nothing came in time.
        case silence
        /// The connection was closed without a byte.
        case closed
        /// The network, or the host's kernel, refused the packet; in words.
        case refused(String)
    }

    private enum State {
        case asking(PortmapperVersion)
        case calling(port: UInt16)
    }

    private let subject: ProbeSubject
    private let host: IPAddress
    private var state: State

    /// - Parameter host: the address that is asked.
    public init(_ subject: ProbeSubject, at host: IPAddress) {
        self.subject = subject
        self.host = host
        // Version 2 knows nothing of IPv6.
        state = .asking(host.isIPv4 ? .v2 : .v4)
    }

    public var first: Step { .ask(question(.v4)) }

    /// - Returns: the next step after a call.
    public mutating func ended(_ end: End) -> Step {
        switch state {
        case .asking(let version): asked(version, end)
        case .calling(let port): .found(Self.called(subject.version, at: port, end))
        }
    }

    private func question(_ version: PortmapperVersion) -> PortmapperCall {
        if host.isIPv4 {
            return .getPort(
                Mapping(
                    program: subject.program, version: subject.version,
                    protocolNumber: UInt32(subject.transport.rawValue), port: 0))
        }
        return .getAddress(
            version,
            RPCB(
                program: subject.program, version: subject.version,
                netID: NetID(subject.transport, isIPv4: false).rawValue,
                // Clients tell the address by which they know the portmapper: rpcbind answers one that fits it.
                address: UniversalAddress(host: host, port: 111).description, owner: ""))
    }

    // MARK: The portmapper's answer

    private mutating func asked(_ version: PortmapperVersion, _ end: End) -> Step {
        switch end {
        case .silence: .found(Finding(.silent))
        case .closed: .found(Finding(.silent, detail: "port 111 closes the connection"))
        case .refused(let words): .found(Finding(.silent, detail: "port 111: \(words)"))
        case .reply(let status): told(version, status)
        }
    }

    private mutating func told(_ version: PortmapperVersion, _ status: ReplyStatus) -> Step {
        switch status {
        case .success(let results): return told(port: port(in: results))
        case .denied(let reason): return .found(Finding(.denied, detail: Self.refusal(reason, by: "the portmapper")))
        case .mismatch, .unsuccessful(.programUnavailable), .unsuccessful(.procedureUnavailable):
            guard version == .v4 else { break }
            state = .asking(.v3)
            return .ask(question(.v3))
        case .unsuccessful, .broken, .foreign: break
        }
        return .found(Finding(.unregistered, detail: "port 111 answers \(Self.fault(status))"))
    }

    private mutating func told(port: UInt16?) -> Step {
        guard let port else { return .found(Finding(.unregistered, detail: "port 111 answers no port number")) }
        guard port != 0 else { return .found(Finding(.unregistered)) }
        state = .calling(port: port)
        return .call(port: port)
    }

    /// 0: not registered; `nil`: the results are none.
    private func port(in results: [UInt8]) -> UInt16? {
        do {
            let result = try results.withUnsafeBytes { bytes throws(XDRError) in
                try PortmapperResult(decoding: bytes, of: question(.v3))
            }
            switch result {
            case .port(let port): return UInt16(exactly: port)
            // The host in it is of no use: the service is called where the portmapper was asked.
            case .address(let text): return text.isEmpty ? 0 : UniversalAddress(text)?.port
            case .void, .boolean, .mappings, .registrations, .addressList: return nil
            }
        } catch {
            return nil
        }
    }

    // MARK: The service's answer

    private static func called(_ version: UInt32, at port: UInt16, _ end: End) -> Finding {
        switch end {
        case .silence: Finding(.shut, port: port)
        case .closed: Finding(.shut, port: port, detail: "the port closes the connection")
        case .refused(let words): Finding(.shut, port: port, detail: words)
        case .reply(.success): Finding(.open, port: port)
        case .reply(.mismatch(let versions)):
            Finding(.open, port: port, detail: versions.map { "serves \(words($0)), not \(version)" })
        case .reply(.denied(let reason)): Finding(.denied, port: port, detail: refusal(reason, by: "the service"))
        case .reply(.unsuccessful(.programUnavailable)):
            Finding(.shut, port: port, detail: "another program answers there")
        case .reply(let status): Finding(.shut, port: port, detail: "the port answers \(fault(status))")
        }
    }

    private static func words(_ versions: ClosedRange<UInt32>) -> String {
        versions.count == 1
            ? "version \(versions.lowerBound)" : "versions \(versions.lowerBound) to \(versions.upperBound)"
    }

    private static func refusal(_ reason: UInt32?, by whom: String) -> String {
        "\(whom) answers \(reason.map(AuthStatus.name) ?? "MSG_DENIED")"
    }

    private static func fault(_ status: ReplyStatus) -> String {
        switch status {
        case .unsuccessful(let fault): fault.name
        case .mismatch: "PROG_MISMATCH"
        case .success, .denied, .broken, .foreign: "what is no RPC reply"
        }
    }
}
