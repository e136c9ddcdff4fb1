@testable import Metrics

extension FuzzTarget {
    /// Bytes received at the metrics socket.
    static let http = FuzzTarget(name: "http", allocationFactor: 64) { bytes in
        let request = Array(bytes)
        let answer = { (bytes: [UInt8]) in HTTPResponse.answer(to: bytes) { _ in [] }?.status }
        let whole = answer(request)
        for count in [request.count / 2, request.count - 1] where count > 0 {
            let early = answer(Array(request.prefix(count)))
            require(early == nil || early == whole, "\(count) bytes: \(early ?? ""), all: \(whole ?? "more")")
        }
    }
}
