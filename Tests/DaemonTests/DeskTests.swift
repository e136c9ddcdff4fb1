import Policy
import TestSupport
import Testing

@testable import Daemon

@Suite("what the desk answers") struct DeskTests {
    private let desk = Desk(names: ProgramNames())
    private let everywhere = "rpcwarden-fleet order release --client 192.0.2.7 --key FILE"

    @Test(
        "to `release` in a fleet is that it counts for this node only, and how to release at all",
        arguments: [true, false])
    func release(wasQuarantined: Bool) {
        let client = ip("192.0.2.7")
        let alone = desk.release(of: client, wasQuarantined, isShared: false)
        #expect(alone == [wasQuarantined ? "released: 192.0.2.7" : "192.0.2.7 is not quarantined"])
        let shared = desk.release(of: client, wasQuarantined, isShared: true)
        #expect(shared == alone + ["this node only; at every node: \(everywhere)"])
    }
}
