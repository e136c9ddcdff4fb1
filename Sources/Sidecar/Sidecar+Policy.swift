import Fleet
import FleetRecords
import NIOCore
import NIOPosix

extension Sidecar {
    func perform(_ action: PolicyFetch.Action) {
        switch action {
        case .read(let serial, let piece): read(serial, piece)
        case .store(let bytes, let announcement): store(bytes, announcement)
        case .tell(let serial):
            guard let group = work?.shelf?.group else { return }
            daemon.send([.policy(group: group, serial: serial)])
        }
    }

    private func read(_ serial: UInt64, _ piece: UInt16) {
        guard let work, let group = work.shelf?.group else { return }
        let key = work.facts.keys.bytes(.policyPiece(group: group, serial: serial, piece: piece))
        let this = NIOLoopBound((sidecar: self, driver: work.driver), eventLoop: loop)
        work.driver.record(at: key).whenComplete { result in
            let (sidecar, driver) = this.value
            guard sidecar.work?.driver === driver else { return }
            let now = sidecar.now.instant
            let action: PolicyFetch.Action? = sidecar.changeFetch { fetch in
                switch result {
                case .success(let record): return fetch.pieceRead(record?.value, at: now)
                case .failure(let error):
                    fetch.refused("\(error)", at: now)
                    return nil
                }
            }
            sidecar.reportRefusal()
            if let action { sidecar.perform(action) }
        }
    }

    /// The disk may take its time: on another thread.
    private func store(_ bytes: [UInt8], _ announcement: PolicyAnnouncement) {
        guard let work, let shelf = work.shelf else { return }
        let this = NIOLoopBound((sidecar: self, driver: work.driver), eventLoop: loop)
        files.runIfActive(eventLoop: loop) { try shelf.store(bytes, announcement) }.whenComplete { result in
            let (sidecar, driver) = this.value
            guard sidecar.work?.driver === driver else { return }
            let now = sidecar.now.instant
            switch result {
            case .success:
                sidecar.reportedRefusal = nil
                sidecar.log("policy of group \(shelf.group), serial \(announcement.serial) is on the disk")
                for action in sidecar.changeFetch({ $0.stored(at: now) }) ?? [] { sidecar.perform(action) }
            case .failure(let error):
                sidecar.changeFetch { $0.refused("\(error)", at: now) }
                sidecar.reportRefusal()
            }
        }
    }

    func reportRefusal() {
        // Once, though a store may take it back and say it again.
        guard let refusal = work?.fetch?.refusal, refusal != reportedRefusal else { return }
        reportedRefusal = refusal
        log("the policy is not taken: \(refusal)")
        tellRefusal()
    }

    /// The daemon tells people of it.
    func tellRefusal() {
        guard let group = work?.shelf?.group, let refusal = work?.fetch?.refusal else { return }
        daemon.send([.policyRefused(group: group, detail: refusal)])
    }
}
