import Glibc
import ONCRPC
import Portmapper
import System

/// Asks rpcbind for all registrations: version 4 DUMP over its unix socket, the only transport that reports owners.
struct RegistrationQuestion {
    var path: String

    private static let patience: Duration = .seconds(2)
    /// Enough for 20,000 registrations.
    private static let replyBytesMax = 4 << 20

    enum Answer {
        case list([RPCB])
        /// More registrations than are read.
        case tooLong
        /// No reply, or none in rpcbind's format.
        case none
    }

    func ask() -> Answer {
        let descriptor: Int32
        do { descriptor = try UnixSocket.stream(to: path, patience: Self.patience) } catch { return .none }
        defer { close(descriptor) }
        let call = PortmapperCall.dump(.v4)
        let message = call.encoded(xid: UInt32.random(in: 1 ... .max))
        let header = RecordReader.header(forRecordBytes: message.count).bigEndian
        let record = withUnsafeBytes(of: header) { Array($0) } + message
        guard send(descriptor, record, record.count, Int32(MSG_NOSIGNAL)) == record.count else { return .none }
        var reader = RecordReader(recordBytesMax: Self.replyBytesMax)
        guard let reply = receive(from: descriptor, &reader) else { return reader.fault == nil ? .none : .tooLong }
        return Self.registrations(in: reply, call).map(Answer.list) ?? .none
    }

    private static func registrations(in reply: [UInt8], _ call: PortmapperCall) -> [RPCB]? {
        do {
            guard case .success(let results) = try reply.withUnsafeBytes({ try Reply(decoding: $0) }).body,
                case .registrations(let list) = try results.withUnsafeBytes({
                    try PortmapperResult(decoding: $0, of: call)
                })
            else { return nil }
            return list
        } catch {
            return nil
        }
    }

    private func receive(from descriptor: Int32, _ reader: inout RecordReader) -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while reader.fault == nil {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return nil }
            if let record = chunk[..<count].withUnsafeBytes({ reader.feed($0) }).first { return record }
        }
        return nil
    }
}
