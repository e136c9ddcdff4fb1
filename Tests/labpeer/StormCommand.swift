import Addresses
import Glibc
import ONCRPC
import Portmapper

/// `labpeer storm`: many lookups, each followed at once by a connect to the port in the answer.
struct StormCommand: Sendable {
    static let usage = """
        labpeer storm --to ADDR [--port 111] --over udp|tcp --count N --program P --version V --service tcp|udp
                      [--sources FIRST-ADDR/N] [--connect] [--lookup getport|getaddr] [--parallel K] [--wait MS]
                      [--retries N]
        """

    private let peer: Endpoint
    private let transport: Transport
    private let service: Transport
    private let count: Int
    private let program: UInt32
    private let version: UInt32
    private let sources: (first: IPAddress, count: Int)?
    private let connects: Bool
    private let usesGetAddress: Bool
    private let workers: Int
    private let wait: Duration
    private let retries: Int

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list,
            options: [
                "--to", "--port", "--over", "--count", "--program", "--version", "--service", "--sources", "--lookup",
                "--parallel", "--wait", "--retries", "--interface",
            ],
            flags: ["--connect"])
        guard arguments.words.isEmpty else { throw UsageError("unexpected \(arguments.words[0])") }
        peer = try arguments.peer(defaultPort: 111)
        transport = try arguments.transport("--over")
        service = try arguments.transport("--service")
        count = try arguments.number("--count") ?? 1
        program = try arguments.number("--program") ?? Program.mountd.rawValue
        version = try arguments.number("--version") ?? 3
        sources = try arguments.sources()
        connects = arguments.has("--connect")
        usesGetAddress = try Self.usesGetAddress(arguments.text("--lookup"), peer)
        workers = max(1, try arguments.number("--parallel") ?? 1)
        wait = try arguments.wait()
        retries = try arguments.number("--retries") ?? 0
        guard !usesGetAddress || service == transport else {
            throw UsageError("getaddr answers for the transport it comes over: --service must equal --over")
        }
    }

    /// The default is that of real clients: GETPORT over IPv4, GETADDR over IPv6.
    private static func usesGetAddress(_ word: String?, _ peer: Endpoint) throws(UsageError) -> Bool {
        switch word {
        case "getport": return false
        case "getaddr": return true
        case nil: return !peer.address.isIPv4
        case let word?: throw UsageError("--lookup \(word) is neither getport nor getaddr")
        }
    }

    func run() -> Int32 {
        let tallies = inParallel(workers) { worker in
            var tally = Tally()
            for index in stride(from: worker, to: count, by: workers) {
                do throws(SystemError) {
                    try ask(index, &tally)
                } catch {
                    tally.fail(error)
                }
            }
            return tally
        }
        let total = tallies.reduce(into: Tally()) { $0.add($1) }
        say(total.text)
        return total.ok == count ? 0 : 1
    }

    private func ask(_ index: Int, _ tally: inout Tally) throws(SystemError) {
        let started = ContinuousClock.now
        var answer = try lookup(index)
        // Retransmits without an answer, as real clients do.
        for _ in 0..<retries {
            guard case .unanswered = answer else { break }
            tally.retried += 1
            answer = try lookup(index)
        }
        tally.lookups.append(ContinuousClock.now - started)
        switch answer {
        case .unanswered: tally.unanswered += 1
        case .denied: tally.denied += 1
        case .port(let port):
            guard connects else {
                tally.ok += 1
                return
            }
            let started = ContinuousClock.now
            let reached = try reach(Endpoint(peer.address, port, interface: peer.interface), index)
            tally.connects.append(ContinuousClock.now - started)
            switch reached {
            case .connected: tally.ok += 1
            case .refused: tally.refused += 1
            case .timeout: tally.timeout += 1
            }
        }
    }

    private enum Answer {
        case port(UInt16)
        case denied
        case unanswered
    }

    private func lookup(_ index: Int) throws(SystemError) -> Answer {
        let call = lookupCall
        let message = call.encoded(xid: UInt32(truncatingIfNeeded: index &+ 1))
        let deadline = ContinuousClock.now + wait
        let socket = try open(transport, index)
        guard try socket.connect(to: peer, until: deadline) == .connected else { return .unanswered }
        try socket.send(transport == .udp ? message : framed(message))
        guard let bytes = try readMessage(socket, deadline) else { return .unanswered }
        return Self.answer(in: bytes, to: call)
    }

    private var lookupCall: PortmapperCall {
        if usesGetAddress {
            let address = "\(UniversalAddress(host: peer.address, port: peer.port))"
            let netID = NetID(transport, isIPv4: peer.address.isIPv4).rawValue
            return .getAddress(
                .v4, RPCB(program: Program(program), version: version, netID: netID, address: address, owner: ""))
        }
        return .getPort(
            Mapping(
                program: Program(program), version: version, protocolNumber: UInt32(service.rawValue), port: 0))
    }

    private func readMessage(_ socket: Socket, _ deadline: ContinuousClock.Instant) throws(SystemError) -> [UInt8]? {
        var reader = RecordReader(recordBytesMax: Socket.readBytesMax)
        while case .bytes(let bytes) = try socket.read(until: deadline) {
            if transport == .udp { return bytes }
            if let record = bytes.withUnsafeBytes({ reader.feed($0) }).first { return record }
        }
        return nil
    }

    private static func answer(in bytes: [UInt8], to call: PortmapperCall) -> Answer {
        do {
            let reply = try bytes.withUnsafeBytes { (raw) throws(XDRError) in try Reply(decoding: raw) }
            guard case .success(let results) = reply.body else { return .denied }
            let result = try results.withUnsafeBytes { (raw) throws(XDRError) in
                try PortmapperResult(decoding: raw, of: call)
            }
            switch result {
            case .port(let port): return UInt16(exactly: port).flatMap { $0 == 0 ? nil : .port($0) } ?? .denied
            case .address(let text): return UniversalAddress(text).map { .port($0.port) } ?? .denied
            case .void, .boolean, .mappings, .registrations, .addressList: return .denied
            }
        } catch {
            return .unanswered
        }
    }

    /// TCP: a connect. UDP: a NULL call and its reply.
    private func reach(_ endpoint: Endpoint, _ index: Int) throws(SystemError) -> ConnectOutcome {
        let deadline = ContinuousClock.now + wait
        let socket = try open(service, index)
        let outcome = try socket.connect(to: endpoint, until: deadline)
        guard service == .udp, outcome == .connected else { return outcome }
        let null = CallHeader(xid: 0, program: program, version: version, procedure: 0)
        try socket.send(Procedure.bare(null).encoded(xid: UInt32(truncatingIfNeeded: index &+ 1)))
        switch try socket.read(until: deadline) {
        case .bytes: return .connected
        case .refused, .closed: return .refused
        case .nothing: return .timeout
        }
    }

    /// A socket bound to the lookup's source address.
    private func open(_ transport: Transport, _ index: Int) throws(SystemError) -> Socket {
        let socket = try Socket(transport, isIPv4: peer.address.isIPv4)
        if let sources {
            try socket.bind(to: Endpoint(sources.first.advanced(by: index % sources.count), 0))
        }
        return socket
    }
}

/// The numbers of lookups by result.
private struct Tally: Sendable {
    var ok = 0
    var refused = 0
    var timeout = 0
    var unanswered = 0
    var denied = 0
    var retried = 0
    var failed: [String: Int] = [:]
    var lookups: [Duration] = []
    var connects: [Duration] = []

    mutating func fail(_ error: SystemError) { failed[error.text, default: 0] += 1 }

    mutating func add(_ other: Tally) {
        ok += other.ok
        refused += other.refused
        timeout += other.timeout
        unanswered += other.unanswered
        denied += other.denied
        retried += other.retried
        failed.merge(other.failed, uniquingKeysWith: +)
        lookups += other.lookups
        connects += other.connects
    }

    var text: String {
        let counts =
            "ok=\(ok) refused=\(refused) timeout=\(timeout) unanswered=\(unanswered) denied=\(denied)"
            + " retried=\(retried)"
        let failures = failed.sorted { $0.key < $1.key }.map { " failed=\($0.value) (\($0.key))" }.joined()
        let (median, longest) = Self.spread(lookups)
        let (connectMedian, connectLongest) = Self.spread(connects)
        return counts + failures + " lookup-median-us=\(median) lookup-max-us=\(longest)"
            + " connect-median-us=\(connectMedian) connect-max-us=\(connectLongest)"
    }

    private static func spread(_ durations: [Duration]) -> (median: Int64, longest: Int64) {
        let sorted = durations.sorted()
        guard let longest = sorted.last else { return (0, 0) }
        return (sorted[sorted.count / 2].microseconds, longest.microseconds)
    }
}
