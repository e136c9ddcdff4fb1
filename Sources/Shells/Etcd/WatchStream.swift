import NIOCore

/// A watch from its question to its end; belongs to one event loop.
///
/// ```
/// probing ──▶ connecting ──▶ opening ──▶ open
///    └────────────┴─────────────┴─────────┴──▶ ended
/// ```
final class WatchStream {
    private let connector: MemberConnector
    private let request: Request
    private let ranges: [EtcdRange]
    private let told: (EtcdWatchEvent) -> Void
    /// The member that it runs at.
    private(set) var endpoint: EtcdEndpoint?
    private var channel: (any Channel)?
    private var openingEnds: Scheduled<Void>?
    private(set) var hasEnded = false

    init(
        _ connector: MemberConnector, _ ranges: [EtcdRange], from revision: Int64,
        told: @escaping (EtcdWatchEvent) -> Void
    ) {
        self.connector = connector
        self.told = told
        request = .watch(ranges, from: revision)
        self.ranges = ranges
    }

    var firstKey: [UInt8] { ranges.first?.from ?? [0] }

    /// - Parameter timeout: until every range is watched. Afterwards silence is no fault.
    func open(at endpoint: EtcdEndpoint, token: String?, timeout: TimeAmount) {
        guard !hasEnded else { return }
        self.endpoint = endpoint
        let this = NIOLoopBound(self, eventLoop: connector.loop)
        openingEnds = connector.loop.scheduleTask(in: timeout) {
            this.value.end(.lost("\(endpoint): the watch wasn't opened within the time"))
        }
        let rangeCount = ranges.count
        connector.connect(to: endpoint) {
            WatchHandler(rangeCount: rangeCount) { this.value.received($0) }
        }.whenComplete { result in
            switch result {
            case .success(let channel): this.value.connected(channel, token)
            case .failure(let error): this.value.end(.lost(connectionFailure(error)))
            }
        }
    }

    private func connected(_ channel: any Channel, _ token: String?) {
        guard !hasEnded, let endpoint else { return channel.close(promise: nil) }
        self.channel = channel
        channel.send(request, to: endpoint, token: token)
    }

    private func received(_ event: EtcdWatchEvent) {
        switch event {
        case .opened:
            openingEnds?.cancel()
            tell(event)
        case .changed: tell(event)
        case .ended(let end): self.end(end)
        }
    }

    private func tell(_ event: EtcdWatchEvent) {
        if !hasEnded { told(event) }
    }

    func end(_ end: EtcdWatchEnd) {
        guard !hasEnded else { return }
        cancel()
        told(.ended(end))
    }

    /// Ends it without a word.
    func cancel() {
        hasEnded = true
        openingEnds?.cancel()
        channel?.close(promise: nil)
    }
}
