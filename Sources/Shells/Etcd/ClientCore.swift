import NIOCore

/// What a client has on its event loop: the requests, and the watches.
final class ClientCore {
    let queue: RequestQueue
    private let timeout: TimeAmount
    private var watches: [WatchStream] = []
    private var isClosed = false

    init(_ connector: MemberConnector, _ settings: EtcdSettings) {
        timeout = TimeAmount(settings.requestTimeout)
        queue = RequestQueue(connector, settings)
        queue.left = { [unowned self] in left($0, $1) }
    }

    /// A read at first: it finds a member that answers, and makes the token fresh. At one that idled out, etcd says
    /// only that the permission lacks.
    func open(_ watch: WatchStream) {
        watches.removeAll { $0.hasEnded }
        guard !isClosed, watches.count < EtcdLimits.watchesMax else {
            return watch.end(.lost("\(isClosed ? RequestQueue.isClosed : .busy)"))
        }
        watches.append(watch)
        queue.ask(.range(EtcdRange(key: watch.firstKey), limit: 1, revision: nil, keysOnly: true)) { [self] answer in
            switch answer {
            case .success: watch.open(at: queue.endpoint, token: queue.token, timeout: timeout)
            case .failure(let error): watch.end(WatchReader.end(error))
            }
        }
    }

    private func left(_ endpoint: EtcdEndpoint, _ reason: String) {
        for watch in watches where watch.endpoint == endpoint { watch.end(.lost(reason)) }
        watches.removeAll { $0.hasEnded }
    }

    func close() {
        isClosed = true
        for watch in watches { watch.end(.lost("\(RequestQueue.isClosed)")) }
        watches = []
        queue.close()
    }
}
