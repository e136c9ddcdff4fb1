import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import ONCRPC
import Policy
import Portmapper

/// The record of what happened: counters, and the audit events that the log's rate lets through.
public struct Journal: ~Copyable, Sendable {
    public var counters = Counters()
    public let names: ProgramNames
    private var limiter = AuditLimiter()
    /// Empty except with `audit.permitted: first`.
    private var firstPermissions = FirstPermissions()
    /// Wall-clock time at ``Instant/zero``, for people only.
    private var epoch = Timestamp(milliseconds: 0)

    public init(names: ProgramNames) { self.names = names }

    public func wallClock(at now: Instant) -> Timestamp { epoch + (now - .zero) }

    /// The wall clock was read; it may have been set since the last reading.
    /// - Returns: by how much.
    public mutating func wallClockRead(_ time: Timestamp, at now: Instant) -> Duration {
        let before = epoch
        epoch = time + (.zero - now)
        return .milliseconds(epoch.milliseconds - before.milliseconds)
    }

    /// Counts an event, whether or not it is logged.
    public mutating func note(_ kind: AuditEvent.Kind) { counters.events[kind] += 1 }

    /// Counts an event, and returns whether it may be logged; an event that won't be logged needn't be put
    /// together.
    public mutating func admits(
        _ kind: AuditEvent.Kind, of client: IPAddress?, isListed: Bool, over transport: Transport?,
        isOfRate: Bool = false, at now: Instant
    ) -> Bool {
        note(kind)
        let isAdmitted = limiter.admits(
            kind, of: client, isListed: isListed, over: transport, isOfRate: isOfRate, at: now)
        if !isAdmitted { counters.suppressed += 1 }
        return isAdmitted
    }

    /// Counts a permitted call, and returns whether its event may be logged.
    public mutating func admitsPermitted(
        _ call: PortmapperCall, of client: IPAddress, over transport: Transport, at server: ServerNumber = 0,
        isListed: @autoclosure () -> Bool, logging: Settings.Audit.Permitted, at now: Instant
    ) -> Bool {
        switch logging {
        case .all: return admits(.permitted, of: client, isListed: isListed(), over: transport, at: now)
        case .none: note(.permitted)
        case .first:
            let key = FirstPermissions.Key(
                client: client, server: server, program: call.subject?.program ?? .portmapper,
                over: call.serviceTransport(askedOver: transport),
                isListing: call.kind == .listing || call.procedureName == .getAddressList)
            guard firstPermissions.isDue(key, at: now) else {
                note(.permitted)
                return false
            }
            guard admits(.permitted, of: client, isListed: isListed(), over: transport, at: now) else { return false }
            firstPermissions.told(key, at: now)
            return true
        }
        return false
    }

    /// Counts denials of packets that the kernel dropped.
    /// - Parameter untold: the number of them that the kernel didn't report.
    public mutating func dropped(_ count: Int, untold: Int, at now: Instant) {
        counters.denied[.stranger, default: 0] += count
        counters.suppressed += untold
        limiter.swallow(.denied, untold, at: now)
    }

    /// The events that sum up the suppressed ones, once in a while.
    public mutating func summary(at now: Instant) -> [AuditEvent] { limiter.summary(at: now) }

    /// The same, however short the time since the last summary.
    public mutating func lastSummary(at now: Instant) -> [AuditEvent] { limiter.lastSummary(at: now) }
}

extension AuditEvent {
    /// The event with the name of its program.
    public consuming func named(by names: ProgramNames) -> AuditEvent {
        if let program { programName = names.name(of: program) }
        return self
    }

    /// An event about a call; `nil`: it couldn't be decoded.
    public init(_ kind: Kind, _ call: PortmapperCall?, from peer: Peer, xid: UInt32?) {
        self.init(kind)
        client = peer.address
        port = peer.port
        transport = peer.transport
        self.xid = xid
        guard let call else { return }
        procedure = call.procedureName.rawValue
        over = call.serviceTransport(askedOver: peer.transport)
        // A call that names no other program concerns the portmapper itself.
        (program, version) = call.subject ?? (.portmapper, call.version.rawValue)
    }

    public init(_ kind: Kind, _ incoming: IncomingCall) {
        switch incoming.content {
        case .call(let call): self.init(kind, call, from: incoming.peer, xid: incoming.xid)
        case .undispatchable(let header, _):
            self.init(kind, nil, from: incoming.peer, xid: incoming.xid)
            program = Program(header.program)
            version = header.version
            procedure = Self.procedure(of: header)
        case .faulty: self.init(kind, nil, from: incoming.peer, xid: incoming.xid)
        }
    }

    /// By its name, if the portmapper has such a one.
    private static func procedure(of header: CallHeader) -> String {
        guard header.program == Program.portmapper.rawValue, let version = PortmapperVersion(rawValue: header.version),
            let name = ProcedureName(version, number: header.procedure)
        else { return String(header.procedure) }
        return name.rawValue
    }
}

extension PortmapperCall {
    /// The transport by which policy decides, and which the log tells as `over`; `nil` except for look-ups.
    fileprivate func serviceTransport(askedOver transport: Transport) -> Transport? {
        if case .getPort(let mapping) = self { return mapping.transport ?? transport }
        return kind == .lookup && procedureName != .getAddressList ? transport : nil
    }
}
