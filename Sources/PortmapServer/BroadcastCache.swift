import CPortmapServer
import NIOCore
import Portmapper

/// Which of the addresses that are asked are broadcast addresses; the kernel's routes say.
struct BroadcastCache {
    private var known: [UInt32: Bool] = [:]
    private var forgetAt = NIODeadline.uptimeNanoseconds(0)

    /// A host has few addresses; more are somebody's game.
    private static let addressesMax = 256
    /// Addresses change: what is known is asked anew.
    private static let lifetime: TimeAmount = .seconds(10)

    mutating func isBroadcast(_ address: IPAddress) -> Bool {
        guard case .v4(let bits) = address, !address.isLoopback else { return false }
        if NIODeadline.now() >= forgetAt || known.count >= Self.addressesMax {
            known = [:]
            forgetAt = .now() + Self.lifetime
        }
        if let answer = known[bits] { return answer }
        let answer = rpcw_is_broadcast(bits.bigEndian)
        known[bits] = answer
        return answer
    }
}
