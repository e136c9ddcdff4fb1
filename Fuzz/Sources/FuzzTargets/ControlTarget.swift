import Control
import FoundationEssentials

extension FuzzTarget {
    /// A line received at the control socket.
    static let control = FuzzTarget(name: "control", allocationFactor: 64) { bytes in
        guard let call = attempt({ try JSONDecoder().decode(ControlCall.self, from: Data(bytes)) }) else { return }
        let encoded = attempt { try JSONEncoder().encode(call) }
        let again = encoded.flatMap { line in attempt { try JSONDecoder().decode(ControlCall.self, from: line) } }
        require(again == call, "\(call) became \(String(describing: again))")
        require(encoded?.contains(UInt8(ascii: "\n")) == false, "a call of two lines")
    }
}
