import Bundles
import Console
import Etcd
import Fleet
import FleetRecords
import Signatures

/// The policy of a group in the store.
struct PublishedPolicy {
    let store: StoreConnection
    let group: String
    var progress = Progress()

    /// What is in force, and the bytes that say so; `nil`: nothing is.
    func current() throws -> (announcement: PolicyAnnouncement, value: [UInt8])? {
        guard let value = try store.value(.currentPolicy(group: group)) else { return nil }
        do throws(RecordText.Fault) {
            return (try PolicyAnnouncement(text: value), value)
        } catch {
            throw CommandFailure.usage("\(FleetKey.currentPolicy(group: group).text(of: store.fleet)) can't be read")
        }
    }

    /// The bundle that is in force.
    func bundle() throws -> PolicyBundle {
        guard let (announcement, _) = try current() else {
            throw CommandFailure.usage("group \(group) of fleet \(store.fleet) has no policy in the store")
        }
        var bytes: [UInt8] = []
        for piece in 0..<announcement.pieceCount {
            let key = FleetKey.policyPiece(group: group, serial: announcement.serial, piece: UInt16(piece))
            guard let value = try store.value(key) else {
                throw CommandFailure.usage("\(key.text(of: store.fleet)) is missing; publish the bundle again")
            }
            bytes += value
        }
        guard SHA256.digest(of: bytes) == announcement.sha256 else {
            throw CommandFailure.usage(
                "serial \(announcement.serial) of group \(group) has another hash than announced")
        }
        do {
            return try PolicyBundle(container: try SignedBundle(bytes).container)
        } catch {
            throw CommandFailure.usage("serial \(announcement.serial) of group \(group): \(error)")
        }
    }

    /// Publishes the bundle in one transaction, which another publisher's would make fail.
    ///
    /// Its pieces are written before, for one request takes 1.5 MiB: nobody reads them until they are announced.
    func publish(_ bundle: PolicyBundle, _ bytes: [UInt8]) throws {
        let before = try current()
        if let serial = before?.announcement.serial, bundle.serial <= serial {
            throw CommandFailure(
                message: "serial \(bundle.serial) is not above \(serial), which is in force; sign it with "
                    + "--serial \(serial + 1)", code: ExitStatus.denied)
        }
        let announcement = PolicyAnnouncement(
            serial: bundle.serial, sha256: SHA256.digest(of: bytes), bytes: bytes.count, notAfter: bundle.notAfter)
        for piece in 0..<announcement.pieceCount {
            let start = piece * PolicyAnnouncement.pieceBytes
            let part = Array(bytes[start..<min(start + PolicyAnnouncement.pieceBytes, bytes.count)])
            let key = FleetKey.policyPiece(group: group, serial: bundle.serial, piece: UInt16(piece))
            try put(part, at: key, of: announcement, after: before?.value)
            progress.note("group \(group): \(piece + 1) of \(announcement.pieceCount) pieces")
        }
        try announce(announcement, after: before?.value)
        try removeOld(below: bundle.serial)
    }

    /// Another publisher of the same serial may have put its own piece there, or have announced its bundle.
    private func put(
        _ part: [UInt8], at key: FleetKey, of announcement: PolicyAnnouncement, after before: [UInt8]?
    ) throws {
        let place = store.bytes(key)
        // Missing, or the same as by an earlier attempt.
        for state in [EtcdCompare.isMissing(key: place), .value(of: place, is: part)] {
            let put = EtcdOperation.put(key: place, value: part, lease: 0)
            if try store.client.transact([isUnchanged(since: before), state], [put]).wait().succeeded { return }
        }
        throw CommandFailure(
            message: "\(key.text(of: store.fleet)) is of another bundle with serial \(announcement.serial), or another "
                + "bundle of group \(group) was published meanwhile; look with `rpcwarden-fleet diff`, and sign with a "
                + "higher --serial", code: ExitStatus.denied)
    }

    private func isUnchanged(since before: [UInt8]?) -> EtcdCompare {
        let key = store.bytes(.currentPolicy(group: group))
        return before.map { .value(of: key, is: $0) } ?? .isMissing(key: key)
    }

    private func announce(_ announcement: PolicyAnnouncement, after before: [UInt8]?) throws {
        let key = store.bytes(.currentPolicy(group: group))
        let put = EtcdOperation.put(key: key, value: announcement.text, lease: 0)
        let outcome = try store.client.transact([isUnchanged(since: before)], [put]).wait()
        guard outcome.succeeded else {
            throw CommandFailure(
                message: "another bundle of group \(group) was published meanwhile; look with `rpcwarden-fleet diff`, "
                    + "and publish again", code: ExitStatus.denied)
        }
    }

    /// Keeps the last two, which nodes may still be reading.
    private func removeOld(below serial: UInt64) throws {
        let range = store.prefix("policy/\(group)/bundle/")
        var serials: Set<UInt64> = []
        var last: [UInt8]?
        repeat {
            // Values are large, so few at once.
            let page = try store.client.page(of: range, after: last, max: 4, revision: nil).wait()
            for record in page.records {
                let key = FleetKey(String(decoding: record.key, as: UTF8.self), of: store.fleet)
                if case .policyPiece(_, let found, _)? = key, found <= serial { serials.insert(found) }
            }
            last = page.hasMore ? page.records.last?.key : nil
        } while last != nil
        for old in serials.sorted().dropLast(2) {
            _ = try store.client.transact([], [.deleteRange(store.prefix("policy/\(group)/bundle/\(old)/"))]).wait()
            progress.note("group \(group): removed serial \(old)")
        }
    }
}
