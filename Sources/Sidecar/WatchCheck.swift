import Clock

/// Whether a watch may have passed over changes.
///
/// A watch that is slow while the store is compacted loses what came between, and nobody says so: etcd before 3.4.31 and
/// 3.5.13 (its issue 17529). Nothing is lost as long as the store still has the revision that the watch began behind. Once
/// it hasn't, everything is read again, and the watch begins anew.
struct WatchCheck: Sendable {
    /// Everything up to this revision was read, and the watch began behind it; `nil`: there is no watch.
    private var began: Int64?
    private(set) var isReading = false
    private var restsUntil = Instant.zero

    /// A store that is compacted all the time isn't read all the time.
    static let rest = Duration.seconds(60)

    mutating func watchBegan(behind revision: Int64) { (began, isReading) = (revision, false) }
    mutating func watchEnded() { (began, isReading) = (nil, false) }

    /// The revision that the store is to be asked for.
    func revision(at now: Instant) -> Int64? { isReading || now < restsUntil ? nil : began }

    /// The store hasn't it any more.
    ///
    /// - Returns: whether everything has to be read; no, if there is another watch by now.
    mutating func compacted(_ revision: Int64, at now: Instant) -> Bool {
        guard revision == began, !isReading else { return false }
        isReading = true
        restsUntil = now + Self.rest
        return true
    }

    /// It was compacted meanwhile; the next check tries again.
    mutating func readingFailed() { isReading = false }
}
