import Addresses
import Bundles
import Clock

/// Reads the members of an object as the values that they must be.
struct MemberReader {
    let object: JSONObject

    func record(_ kind: FleetRecord.Kind) throws(RecordText.Fault) -> FleetRecord {
        switch kind {
        case .grant: .grant(try grant())
        case .ended: .ended(try ended())
        case .quarantine: .quarantine(try quarantine())
        case .status: .status(try status())
        }
    }

    func time(_ name: String) throws(RecordText.Fault) -> Timestamp {
        guard let number = object.number(name), GrantRecord.times.contains(number) else { throw .member(name) }
        return Timestamp(milliseconds: number)
    }

    func count<Number: FixedWidthInteger>(_ name: String) throws(RecordText.Fault) -> Number {
        guard let number = object.number(name).flatMap({ Number(exactly: $0) }) else { throw .member(name) }
        return number
    }

    func text(_ name: String, max bytesMax: Int = GrantRecord.textBytesMax) throws(RecordText.Fault) -> String {
        guard let text = object.text(name), text.utf8.count <= bytesMax else { throw .member(name) }
        return text
    }

    func grant() throws(RecordText.Fault) -> GrantRecord {
        let keep: UInt32 = try count("keep")
        guard keep > 0 else { throw .member("keep") }
        let origin = object.text("origin")
        guard origin.map(PolicyBundle.isName) ?? true else { throw .member("origin") }
        return GrantRecord(
            issued: try time("issued"), used: try time("used"), rule: try text("rule"),
            keep: .milliseconds(Int64(keep)), origin: origin)
    }

    func ended() throws(RecordText.Fault) -> EndedRecord {
        guard let why = EndedRecord.Reason(rawValue: try text("why")) else { throw .member("why") }
        let revoked = object.has("revoked") ? try time("revoked") : nil
        return EndedRecord(at: try time("at"), why: why, revoked: revoked)
    }

    func quarantine() throws(RecordText.Fault) -> QuarantineRecord {
        guard let evidence = QuarantineRecord.Evidence(rawValue: try text("evidence")) else {
            throw .member("evidence")
        }
        return QuarantineRecord(
            from: try time("from"), until: try time("until"), evidence: evidence, denials: try count("denials"))
    }

    func status() throws(RecordText.Fault) -> NodeStatus {
        NodeStatus(
            version: try text("version"), mode: try text("mode"), serial: try count("policy"),
            isGuarding: flag("table"), isRpcbindUp: flag("rpcbind"),
            grants: try count("grants"), denialsPerHour: try count("denials-1h"), since: try time("since"))
    }

    // MARK: Of the messages

    func sharedGrant() throws(RecordText.Fault) -> SharedGrant {
        guard let grant = SharedGrant(text: try text("grant")) else { throw .member("grant") }
        return grant
    }

    func address(_ name: String) throws(RecordText.Fault) -> IPAddress {
        guard let address = IPAddress(try text(name)) else { throw .member(name) }
        return address
    }

    /// One that may be missing.
    func name(_ member: String) throws(RecordText.Fault) -> String? {
        object.has(member) ? try requiredName(member) : nil
    }

    func requiredName(_ member: String) throws(RecordText.Fault) -> String {
        let name = try text(member)
        guard PolicyBundle.isName(name) else { throw .member(member) }
        return name
    }

    func flag(_ name: String) -> Bool { object.number(name) == 1 }

    /// A number of things.
    func size(_ name: String) throws(RecordText.Fault) -> Int { Int(try count(name) as UInt32) }

    func duration(_ name: String) throws(RecordText.Fault) -> Duration {
        .milliseconds(Int64(try count(name) as UInt32))
    }
}
