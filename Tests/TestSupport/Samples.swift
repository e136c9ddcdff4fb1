import Addresses
import Clock

/// Parses an address. An invalid text is a mistake in the test, and ends the process.
public func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

/// An instant `milliseconds` after an arbitrary one.
public func at(_ milliseconds: Int64) -> Instant {
    Instant(nanoseconds: 1_000_000_000_000 + milliseconds * 1_000_000)
}
