import Addresses
import CPortmapServer
import NIOCore

/// Caches which of the asked addresses are broadcast addresses, according to the kernel's routes.
struct BroadcastCache {
    private let look: (UInt32) -> Bool
    private var known: [UInt32: Bool] = [:]
    /// The address looked up last; the next one is mostly the same.
    private var last: (address: UInt32, isBroadcast: Bool)?
    private var forgetAt = NIODeadline.uptimeNanoseconds(0)

    /// A host has few addresses. More distinct ones than this mean probing, and the cache is reset.
    static let addressesMax = 256
    /// Addresses change, so the cache expires after this time.
    private static let lifetime: TimeAmount = .seconds(10)

    /// - Parameter look: looks up an IPv4 address, in host byte order, in the kernel's routes.
    init(_ look: @escaping (UInt32) -> Bool = { rpcw_is_broadcast($0.bigEndian) }) {
        self.look = look
    }

    /// - Parameter now: one reading of the clock serves all calls that arrived together.
    mutating func isBroadcast(_ address: IPAddress, at now: NIODeadline) -> Bool {
        guard case .v4(let bits) = address, !address.isLoopback else { return false }
        if now >= forgetAt {
            forget()
            forgetAt = now + Self.lifetime
        }
        if let last, last.address == bits { return last.isBroadcast }
        let answer = known[bits] ?? learn(bits)
        last = (bits, answer)
        return answer
    }

    private mutating func forget() {
        known = [:]
        last = nil
    }

    private mutating func learn(_ bits: UInt32) -> Bool {
        if known.count >= Self.addressesMax { forget() }
        let answer = look(bits)
        known[bits] = answer
        return answer
    }
}
