import Glibc

// linux/capability.h, which Swift's Glibc module doesn't have; glibc exports both calls.
private struct CapabilityHeader {
    var version: UInt32 = 0x2008_0522  // _LINUX_CAPABILITY_VERSION_3
    var processID: Int32 = 0
}

private struct CapabilityWord {
    var effective: UInt32 = 0
    var permitted: UInt32 = 0
    var inheritable: UInt32 = 0
}

@_silgen_name("capget") private func capget(_ header: UnsafeMutableRawPointer, _ data: UnsafeMutableRawPointer) -> Int32
@_silgen_name("capset") private func capset(_ header: UnsafeMutableRawPointer, _ data: UnsafeRawPointer) -> Int32
private let CAP_NET_ADMIN: UInt32 = 12

/// Runs `body` without CAP_NET_ADMIN in effect on this thread, so it must not suspend.
func withoutNetAdmin<Result>(_ body: () -> Result) -> Result {
    var header = CapabilityHeader()
    var words = [CapabilityWord(), CapabilityWord()]
    guard capget(&header, &words) == 0 else { fatalError("capget: errno \(errno)") }
    let before = words
    words[0].effective &= ~(1 << CAP_NET_ADMIN)
    guard capset(&header, words) == 0 else { fatalError("capset: errno \(errno)") }
    defer {
        guard capset(&header, before) == 0 else { fatalError("capset: errno \(errno)") }
    }
    return body()
}

/// Takes all capabilities from this thread, for good.
func giveUpCapabilities() {
    var header = CapabilityHeader()
    let words = [CapabilityWord(), CapabilityWord()]
    guard capset(&header, words) == 0 else { fatalError("capset: errno \(errno)") }
}
