import Clock
import Firewall
import Privilege
import Sandbox
import Testing

@testable import Daemon

@Suite("asking the netfilter process") struct NetfilterClientTests {
    private final class TestClock {
        var now = Instant(nanoseconds: 1_000_000_000)
    }

    @Test("a long transaction without an outcome in time means that the process is lost, which is told once")
    func silentTransaction() throws {
        let ends = try Channel.pair(messageBytesMax: 1 << 16, waitMax: .seconds(60))
        defer { ends.second.close() }
        try ends.second.send(NetfilterReply.ready(KernelFeatures(ownsTables: true, logsDrops: true)).encoded)
        let clock = TestClock()
        let client = try NetfilterClient(ends.first) { clock.now }
        var losses = 0
        client.lost = { losses += 1 }
        client.begin(Transaction(table: "rpcwarden", operations: []))
        clock.now = clock.now + .seconds(60)
        #expect(client.takeOutcome() == nil && client.loss == nil)
        clock.now = clock.now + .milliseconds(1)
        let outcome = client.takeOutcome()
        #expect(outcome?.failure?.message.contains("no answer within 60.0 seconds") == true)
        #expect(client.loss != nil && losses == 1)
        #expect(client.takeOutcome() == nil)
        client.close()
    }
}
