import Clock
import Testing

@testable import Daemon

@Suite("when the daemon is ready") struct ReadinessTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    @Test("once rpcbind has answered and names are known, and once")
    func served() {
        var readiness = Readiness(startedAt: start)
        let early = readiness.guarded(isServed: false, knowsNames: true, at: start)
        #expect(early == nil)
        let nameless = readiness.guarded(isServed: true, knowsNames: false, at: start)
        #expect(nameless == nil)
        let ready = readiness.guarded(isServed: true, knowsNames: true, at: start)
        #expect(ready?.message == "READY=1" && ready?.isReadyNow == true)
        let again = readiness.guarded(isServed: true, knowsNames: true, at: start + .seconds(60))
        #expect(again == nil)
    }

    @Test("names are awaited for a moment only")
    func names() {
        var readiness = Readiness(startedAt: start)
        let ready = readiness.guarded(isServed: true, knowsNames: false, at: start + Readiness.namesAwaitedMax)
        #expect(ready?.message == "READY=1")
    }

    @Test("without rpcbind before the service manager gives up, which is told, and told again when rpcbind answers")
    func late() {
        var readiness = Readiness(startedAt: start)
        let end = start + Readiness.rpcbindAwaitedMax
        let early = readiness.guarded(isServed: false, knowsNames: true, at: end - .milliseconds(1))
        #expect(early == nil)
        let ready = readiness.guarded(isServed: false, knowsNames: true, at: end)
        #expect(ready?.isReadyNow == true)
        #expect(ready?.message.hasPrefix("READY=1\nSTATUS=rpcbind does not answer") == true)
        let still = readiness.guarded(isServed: false, knowsNames: true, at: end + .seconds(60))
        #expect(still == nil)
        let served = readiness.guarded(isServed: true, knowsNames: true, at: end + .seconds(61))
        #expect(served?.message == "STATUS=rpcbind answers" && served?.isReadyNow == false)
    }
}
