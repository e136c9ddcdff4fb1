import Addresses
import Portmapper

/// A node that boots: eight lookups, one after the other.
struct StormClient {
    private let number: Int
    /// The ports in the answers so far.
    private(set) var ports: [UInt16] = []
    private(set) var askedAt: Duration = .zero
    private(set) var xid: UInt32 = 0
    var isWaiting = false
    /// For the current call: the datagrams that reached the daemon, the arrival of the first, and the daemon's
    /// replies.
    private(set) var arrivals = 0
    private(set) var arrivedAt: Duration?
    var replies = 0
    private var isRetry = false

    init(_ number: Int) { self.number = number }

    var isDone: Bool { ports.count == StormPlan.lookups.count }

    /// The current lookup; the nodes start with different lookups.
    var lookup: (program: Program, transport: Transport) { lookup(ports.count) }

    func lookup(_ place: Int) -> (program: Program, transport: Transport) {
        StormPlan.lookups[(number + place) % StormPlan.lookups.count]
    }

    var message: [UInt8] { message(xid: xid) }

    func message(xid: UInt32) -> [UInt8] {
        PortmapperCall.getPort(
            Mapping(
                program: lookup.program, version: 3, protocolNumber: UInt32(lookup.transport.rawValue), port: 0)
        ).encoded(xid: xid)
    }

    func waits(for xid: UInt32) -> Bool { isWaiting && xid == self.xid }

    mutating func begin(at time: Duration) {
        if !isRetry { askedAt = time }
        isRetry = true
        xid = UInt32(number) << 8 | (xid + 1) & 0xff
        (isWaiting, arrivals, arrivedAt, replies) = (true, 0, nil, 0)
    }

    mutating func arrived(at time: Duration) {
        arrivals += 1
        if arrivedAt == nil { arrivedAt = time }
    }

    mutating func served(_ port: UInt16) {
        ports.append(port)
        (isWaiting, isRetry) = (false, false)
    }
}

/// SplitMix64.
struct StormChance {
    var state: UInt64

    mutating func next(below bound: UInt64) -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return (z ^ (z >> 31)) % bound
    }
}
