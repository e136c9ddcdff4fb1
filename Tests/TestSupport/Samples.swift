import Addresses
import Clock

/// A test that writes an address wrong ends there.
public func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

/// A point of time, so many milliseconds after one in the middle of nowhere.
public func at(_ milliseconds: Int64) -> Instant {
    Instant(nanoseconds: 1_000_000_000_000 + milliseconds * 1_000_000)
}
