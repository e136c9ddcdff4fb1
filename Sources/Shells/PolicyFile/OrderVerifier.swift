import Bundles
import Clock
import Signatures

/// Why an order isn't followed.
public struct OrderRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String
    /// The same order may be right a moment later.
    public var mayPass: Bool

    public init(_ description: String, mayPass: Bool = false) {
        self.description = description
        self.mayPass = mayPass
    }
}

/// Tells which orders of a fleet count here.
public struct OrderVerifier: Sendable {
    private let fleet: String
    private let keys: [PublicKey]

    /// - Parameters:
    ///   - fleet: the fleet that this node is of.
    ///   - keysFile: the bytes of `fleet.policy.keys`.
    public init(fleet: String, keysFile: [UInt8]) throws(OrderRefusal) {
        self.fleet = fleet
        do throws(PublicKey.Fault) {
            keys = try PublicKey.keys(inFile: keysFile)
        } catch {
            throw OrderRefusal("fleet.policy.keys, line \(error.line): \(error.what)", mayPass: true)
        }
    }

    /// The order, if its signature, fleet and age are right. An id that was followed before is the caller's matter.
    public func verified(_ text: [UInt8], at now: Timestamp) throws(OrderRefusal) -> FleetOrder {
        guard text.count <= FleetOrder.bytesMax else {
            throw OrderRefusal("it has more than \(FleetOrder.bytesMax) bytes")
        }
        let signed: SignedBundle
        do throws(SignedBundle.Fault) { signed = try SignedBundle(text) } catch { throw OrderRefusal("\(error)") }
        let signature = Signature(
            text: signed.signature, trustedComment: signed.trustedComment, commentSignature: signed.commentSignature)
        do throws(Signature.Fault) {
            try signature.verify(signed.container, by: keys)
        } catch {
            throw OrderRefusal("\(error)")
        }
        guard let order = FleetOrder(container: signed.container) else {
            throw OrderRefusal("it isn't written as orders are")
        }
        if let refusal = order.refusal(inFleet: fleet, at: now) {
            throw OrderRefusal(refusal, mayPass: order.fleet == fleet && order.isAhead(of: now))
        }
        return order
    }
}
