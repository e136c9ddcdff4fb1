import Bundles
import FleetRecords

extension FuzzTarget {
    /// What the daemon and its sidecar tell each other, and orders: what can be read is written so that it is read the same.
    static let messages = FuzzTarget(name: "messages", allocationFactor: 64) { bytes in
        let line = Array(bytes)
        if let message = attempt({ () throws(RecordText.Fault) in try DaemonMessage(line: line) }) {
            let again = attempt { () throws(RecordText.Fault) in try DaemonMessage(line: message.line.dropLast()) }
            require(again == message, "\(message)")
        }
        if let message = attempt({ () throws(RecordText.Fault) in try SidecarMessage(line: line) }) {
            let again = attempt { () throws(RecordText.Fault) in try SidecarMessage(line: message.line.dropLast()) }
            require(again == message, "\(message)")
        }
        if let order = FleetOrder(container: line[...]) { require(order.container == line, "\(order)") }
    }
}
