import Addresses
import CPortmapServer
import NIOCore

/// Which of the addresses that are asked are broadcast addresses; the kernel's routes say.
struct BroadcastCache {
    private let look: (UInt32) -> Bool
    private var known: [UInt32: Bool] = [:]
    /// The address that was asked last, as the next mostly is.
    private var last: (address: UInt32, isBroadcast: Bool)?
    private var forgetAt = NIODeadline.uptimeNanoseconds(0)

    /// A host has few addresses. More distinct ones than this mean probing, and the cache is reset.
    static let addressesMax = 256
    /// Addresses change: what is known is asked anew.
    private static let lifetime: TimeAmount = .seconds(10)

    /// - Parameter look: asks the kernel of an IPv4 address, in host order.
    init(_ look: @escaping (UInt32) -> Bool = { rpcw_is_broadcast($0.bigEndian) }) {
        self.look = look
    }

    /// - Parameter now: one look at the clock does for all that came together.
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
