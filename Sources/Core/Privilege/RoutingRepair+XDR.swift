import Firewall
import ONCRPC

extension XDREncoder {
    mutating func routing(_ repair: RoutingRepair) {
        list(repair.changes.prefix(MessageLimits.routingChangesMax)) {
            $0.string($1, max: MessageLimits.textBytesMax)
        }
        optional(repair.failure) { $0.string($1, max: MessageLimits.textBytesMax) }
    }
}

extension XDRDecoder {
    mutating func routing() throws(XDRError) -> RoutingRepair {
        RoutingRepair(
            changes: try list(max: MessageLimits.routingChangesMax, itemBytesMin: ItemBytes.text) {
                decoder throws(XDRError) in try decoder.string(max: MessageLimits.textBytesMax)
            },
            failure: try optional { decoder throws(XDRError) in
                try decoder.string(max: MessageLimits.textBytesMax)
            })
    }
}
