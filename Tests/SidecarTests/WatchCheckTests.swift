import Clock
import Testing

@testable import Sidecar

@Suite("the check of a watch") struct WatchCheckTests {
    private let start = Instant.zero + .seconds(1000)

    @Test("asks for the revision that the watch began behind, while there is a watch")
    func revision() {
        var check = WatchCheck()
        #expect(check.revision(at: start) == nil)
        check.watchBegan(behind: 9)
        #expect(check.revision(at: start) == 9)
        check.watchEnded()
        #expect(check.revision(at: start) == nil)
    }

    @Test("has everything read once, and asks for the new watch's beginning a minute later")
    func compacted() {
        var check = WatchCheck()
        check.watchBegan(behind: 9)
        var isRead = check.compacted(9, at: start)
        #expect(isRead && check.revision(at: start + .seconds(600)) == nil)
        isRead = check.compacted(9, at: start)
        #expect(!isRead, "it is being read")
        check.watchBegan(behind: 20)
        #expect(check.revision(at: start + .seconds(59)) == nil)
        #expect(check.revision(at: start + .seconds(60)) == 20)
    }

    @Test("passes over what is said of an earlier watch")
    func isOfAnother() {
        var check = WatchCheck()
        check.watchBegan(behind: 9)
        check.watchBegan(behind: 20)
        let isRead = check.compacted(9, at: start)
        #expect(!isRead && !check.isReading)
    }

    @Test("asks again if the reading failed")
    func failed() {
        var check = WatchCheck()
        check.watchBegan(behind: 9)
        let isRead = check.compacted(9, at: start)
        check.readingFailed()
        #expect(isRead && check.revision(at: start + .seconds(60)) == 9)
    }
}
