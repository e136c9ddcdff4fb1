extension Duration {
    /// The longest time passed to the kernel: 100 years; the kernel's own limit is far higher.
    private static let kernelSecondsMax: Int64 = 100 * 365 * 86_400

    /// The duration for the kernel: at least 1, since 0 means "never expires" there.
    var kernelMilliseconds: UInt64 {
        let (seconds, attoseconds) = components
        if seconds >= Self.kernelSecondsMax { return UInt64(Self.kernelSecondsMax) * 1000 }
        if seconds < 0 { return 1 }
        return UInt64(max(seconds * 1000 + attoseconds / 1_000_000_000_000_000, 1))
    }

    init(kernelMilliseconds: UInt64) {
        self = .milliseconds(Int64(clamping: kernelMilliseconds))
    }
}
