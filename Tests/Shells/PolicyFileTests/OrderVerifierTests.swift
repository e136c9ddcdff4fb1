import Addresses
import BundleSamples
import Bundles
import Clock
import Testing

@testable import PolicyFile

@Suite("orders, verified") struct OrderVerifierTests {
    private static let created = Timestamp(milliseconds: 1_800_000_000_000)
    private let order = FleetOrder(
        fleet: "lab", id: "one", created: created, action: .release, client: .v4(0xc000_0207))

    private func refusal(_ text: [UInt8], fleet: String = "lab", at now: Timestamp = created) -> String? {
        do throws(OrderRefusal) {
            _ = try OrderVerifier(fleet: fleet, keysFile: Array(BundleSamples.publicKey.utf8)).verified(text, at: now)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("count with the fleet's signature, and are short")
    func good() throws {
        let text = try BundleSamples.signed(order.container)
        let verifier = try OrderVerifier(fleet: "lab", keysFile: Array(BundleSamples.publicKey.utf8))
        #expect(try verifier.verified(text, at: Self.created) == order)
        #expect(text.count < FleetOrder.bytesMax / 2)
    }

    @Test("of a clock that is ahead, and with keys that can't be read, may count a moment later; others never do")
    func later() throws {
        func mayPass(_ text: [UInt8], keys: [UInt8] = Array(BundleSamples.publicKey.utf8), at now: Timestamp) -> Bool? {
            do throws(OrderRefusal) {
                _ = try OrderVerifier(fleet: "lab", keysFile: keys).verified(text, at: now)
                return nil
            } catch {
                return error.mayPass
            }
        }
        let text = try BundleSamples.signed(order.container)
        #expect(mayPass(text, at: Self.created + .seconds(-61)) == true)
        #expect(mayPass(text, at: Self.created + .seconds(-60)) == nil)
        #expect(mayPass(text, keys: Array("untrusted comment: x\nRW".utf8), at: Self.created) == true)
        #expect(mayPass(text, at: Self.created + .seconds(90_000)) == false)
        #expect(mayPass(order.container, at: Self.created) == false)
    }

    @Test("don't count changed, unsigned, too old, of another fleet, or if a policy was signed")
    func bad() throws {
        var text = try BundleSamples.signed(order.container)
        #expect(refusal(text, fleet: "other")?.contains("fleet") == true)
        #expect(refusal(text, at: Self.created + .seconds(90_000))?.contains("24 h") == true)
        #expect(refusal(order.container) != nil)
        #expect(refusal(text + [UInt8](repeating: 10, count: FleetOrder.bytesMax)) != nil)
        #expect(
            refusal(try BundleSamples.signed(Array("rpcwarden-policy 1\n".utf8))) == "it isn't written as orders are")
        text[text.count - 6] ^= 1
        #expect(refusal(text)?.contains("it was changed") == true)
    }
}
