import Firewall
import ONCRPC

extension XDREncoder {
    mutating func transaction(_ transaction: Transaction) {
        string(transaction.table, max: MessageLimits.nameBytesMax)
        list(transaction.operations) { $0.operation($1) }
    }

    mutating func operation(_ operation: Operation) {
        switch operation {
        case .makeTable(let wanted):
            uint32(0)
            shape(wanted)
        case .deleteTable(let name):
            uint32(1)
            string(name, max: MessageLimits.nameBytesMax)
        case .guardPort(let port):
            uint32(2)
            service(port)
        case .unguardPort(let port):
            uint32(3)
            service(port)
        case .issue(let key, let timeout, let expiresIn, let note):
            uint32(4)
            grantKey(key)
            duration(timeout)
            optional(expiresIn) { $0.duration($1) }
            comment(note)
        case .issueNew(let key, let timeout, let note):
            uint32(5)
            grantKey(key)
            duration(timeout)
            comment(note)
        case .revoke(let key):
            uint32(6)
            grantKey(key)
        case .remember(let key, let timeout, let note):
            uint32(7)
            grantKey(key)
            duration(timeout)
            comment(note)
        case .forget(let key):
            uint32(8)
            grantKey(key)
        case .addStanding(let key):
            uint32(9)
            standingKey(key)
        case .removeStanding(let key):
            uint32(10)
            standingKey(key)
        case .quarantine(let client, let timeout):
            uint32(11)
            address(client)
            duration(timeout)
        case .release(let client):
            uint32(12)
            address(client)
        case .shield(let to, let timeout):
            uint32(13)
            transport(to)
            duration(timeout)
        case .unshield:
            uint32(14)
        case .replaceStanding: uint32(15)
        case .adoptTable(let wanted):
            uint32(16)
            shape(wanted)
        case .addCallers(let key):
            uint32(17)
            callersKey(key)
        case .removeCallers(let key):
            uint32(18)
            callersKey(key)
        }
    }

    private mutating func shape(_ shape: TableShape) {
        string(shape.name, max: MessageLimits.nameBytesMax)
        bool(shape.management == .guardPorts)
        bool(shape.observes)
        uint32(shape.mark)
        duration(shape.keep)
        uint32(UInt32(clamping: shape.grantsMax))
        uint32(UInt32(clamping: shape.quarantinesMax))
        bool(shape.isOwned)
        uint32(UInt32(shape.logGroup))
        uint32(shape.flowMark)
        uint32(shape.ownFlowMark)
        optional(shape.gateway) { $0.gateway($1) }
    }

    private mutating func gateway(_ gateway: GatewayShape) {
        list(gateway.addresses) { $0.address($1) }
        list(gateway.closed) {
            $0.uint32(UInt32($1.server.rawValue))
            $0.transport($1.transport)
            $0.uint32(UInt32($1.ports.lowerBound))
            $0.uint32(UInt32($1.ports.upperBound))
        }
        uint32(gateway.serverMark)
        uint32(gateway.clientMark)
    }
}

extension XDRDecoder {
    mutating func transaction() throws(XDRError) -> Transaction {
        Transaction(
            table: try string(max: MessageLimits.nameBytesMax),
            operations: try list(max: MessageLimits.operationsMax, itemBytesMin: ItemBytes.operation) {
                decoder throws(XDRError) in try decoder.operation()
            })
    }

    mutating func operation() throws(XDRError) -> Operation {
        switch try uint32() {
        case 0: return .makeTable(try shape())
        case 1: return .deleteTable(name: try string(max: MessageLimits.nameBytesMax))
        case 2: return .guardPort(try service())
        case 3: return .unguardPort(try service())
        case 4:
            let (key, timeout) = (try grantKey(), try duration())
            let expiresIn = try optional { decoder throws(XDRError) in try decoder.duration() }
            return .issue(key, timeout: timeout, expiresIn: expiresIn, comment: try comment())
        case 5: return .issueNew(try grantKey(), timeout: try duration(), comment: try comment())
        case 6: return .revoke(try grantKey())
        case 7: return .remember(try grantKey(), timeout: try duration(), comment: try comment())
        case 8: return .forget(try grantKey())
        case 9: return .addStanding(try standingKey())
        case 10: return .removeStanding(try standingKey())
        case 11: return .quarantine(try address(), timeout: try duration())
        case 12: return .release(try address())
        case 13: return .shield(try transport(), timeout: try duration())
        case 14: return .unshield
        case 15: return .replaceStanding
        case 16: return .adoptTable(try shape())
        case 17: return .addCallers(try callersKey())
        case 18: return .removeCallers(try callersKey())
        case let other: throw .invalid(other)
        }
    }

    private mutating func shape() throws(XDRError) -> TableShape {
        var shape = TableShape(
            name: try string(max: MessageLimits.nameBytesMax), management: try bool() ? .guardPorts : .sets,
            observes: try bool(), mark: try uint32(), keep: try duration(), grantsMax: Int(try uint32()),
            quarantinesMax: Int(try uint32()))
        shape.isOwned = try bool()
        shape.logGroup = try uint16()
        shape.flowMark = try uint32()
        shape.ownFlowMark = try uint32()
        shape.gateway = try optional { decoder throws(XDRError) in try decoder.gateway() }
        return shape
    }

    private mutating func gateway() throws(XDRError) -> GatewayShape {
        var gateway = GatewayShape(
            addresses: try list(max: MessageLimits.serverAddressesMax, itemBytesMin: ItemBytes.address) {
                decoder throws(XDRError) in try decoder.address()
            })
        gateway.closed = try list(max: MessageLimits.operationsMax, itemBytesMin: ItemBytes.closedPorts) {
            decoder throws(XDRError) in try decoder.closedPorts()
        }
        gateway.serverMark = try uint32()
        gateway.clientMark = try uint32()
        return gateway
    }

    private mutating func closedPorts() throws(XDRError) -> GatewayShape.ClosedPorts {
        let (server, transport) = (try server(), try transport())
        let (first, last) = (try uint16(), try uint16())
        guard first <= last else { throw .invalid(UInt32(last)) }
        return GatewayShape.ClosedPorts(server, transport, first...last)
    }
}
