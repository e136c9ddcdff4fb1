import CSandbox

/// Controls the memory that the process holds.
public enum Memory {
    /// Blocks of at least this size are returned at once when freed: large tables are freed and allocated as they grow.
    private static let largeBlockBytes: Int32 = 1 << 17

    /// Called once, at the start.
    public static func returnsLargeBlocks() throws(SandboxError) {
        try check(csb_keep_blocks_apart(largeBlockBytes), "setting how memory is taken")
    }

    /// Returns free memory to the host, also from between blocks in use; takes a millisecond for some megabytes.
    public static func trimHeap() { csb_give_back_memory() }
}
