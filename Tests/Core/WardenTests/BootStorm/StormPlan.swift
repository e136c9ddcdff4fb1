import Addresses
import Portmapper

/// The course of a ``BootStorm``. Times count from its start.
struct StormPlan {
    var clients = 10_000
    var seed: UInt64 = 1
    /// All nodes boot within this time.
    var bootsWithin: Duration = .seconds(2)
    /// Percentage of datagrams lost, in each direction.
    var lossPercent = 2
    /// The times in which rpcbind answers nothing. In the first, it evaluates questions at once, and only its
    /// answers are late.
    var stalls: [Range<Duration>] = [
        .milliseconds(700) ..< .milliseconds(1200), .milliseconds(1800) ..< .milliseconds(3600),
    ]
    /// The time at which nlockmgr restarts, on another port.
    var movesAt: Duration = .milliseconds(1000)
    /// Datagrams a second from clients that no rule names.
    var strangersPerSecond = 5000
    /// The datagrams that the socket holds while the daemon is busy: net.core.rmem_default, divided by the
    /// kernel's accounting for a datagram.
    var socketDatagramsMax = 277

    // Measured: docs/PERFORMANCE.md.
    var callCost: Duration = .microseconds(10)
    var commitCost: Duration = .microseconds(25)
    var operationCost: Duration = .microseconds(2)
    var rpcbindCost: Duration = .microseconds(15)
    var networkDelay: Duration = .microseconds(100)

    /// The first retransmission comes after a second; each further delay is twice as long.
    static let patience: Duration = .seconds(1)
    static let patienceMax: Duration = .seconds(30)
    /// The pause before a client calls again after a denial.
    static let pause: Duration = .seconds(2)
    static let endsAfter: Duration = .seconds(300)

    /// The lookups of each client, in a cycle; clients start at different ones.
    static let lookups: [(program: Program, transport: Transport)] = [
        Program.mountd, .nfs, .nlockmgr, .status,
    ].flatMap { program in [Transport.udp, .tcp].map { (program, $0) } }

    func port(of program: Program, at time: Duration) -> UInt16 {
        switch program {
        case .nfs: 2049
        case .mountd: 20_048
        case .status: 662
        default: time < movesAt ? 32_803 : 32_804
        }
    }

    func registrations(at time: Duration) -> [RPCB] {
        [Program.nfs, .mountd, .status, .nlockmgr].flatMap { program in
            [NetID.udp, .tcp].map { netID in
                let port = port(of: program, at: time)
                return RPCB(
                    program: program, version: 3, netID: netID.rawValue, address: "0.0.0.0.\(port >> 8).\(port & 255)",
                    owner: "superuser")
            }
        }
    }

    /// The port in a reply to GETPORT.
    static func told(_ bytes: [UInt8]) -> UInt16 { bytes.reduce(0) { $0 &<< 8 | UInt16($1) } }

    func listens(_ port: UInt16, at time: Duration) -> Bool {
        [.nfs, .mountd, .status, .nlockmgr].contains { self.port(of: $0, at: time) == port }
    }

    /// The time at which rpcbind, idle at `time`, begins to work.
    func rpcbindBegins(_ time: Duration) -> Duration {
        stalls.first { $0.contains(time) }?.upperBound ?? time
    }

    static func client(_ number: Int) -> IPAddress { .v4(0x0a01_0000 + UInt32(number)) }
    static func stranger(_ number: Int) -> IPAddress { .v4(0xc612_0000 + UInt32(number & 0xffff)) }
}

/// The results of a storm.
struct StormOutcome {
    var seconds = 0.0
    var sent = 0
    var retransmitted = 0
    var lost = 0
    /// Datagrams lost because the socket was full.
    var overflowed = 0
    var refused = 0
    var strangersDropped = 0
    var commits = 0
    var grants = 0
    var mostUnderWay = 0
    /// Milliseconds from a lookup's first datagram to its answer, ascending.
    var waits: [Double] = []
    /// The invariants that were violated.
    var violations: [String] = []

    func wait(_ quantile: Double) -> Double { waits.isEmpty ? 0 : waits[Int(quantile * Double(waits.count - 1))] }
}
