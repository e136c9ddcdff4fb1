import CSandbox

/// What the process holds of the host's memory.
public enum Memory {
    /// Large tables come and go as they grow: each is given back at once.
    private static let largeBlockBytes: Int32 = 1 << 17

    /// Said once, at the start.
    public static func returnsLargeBlocks() throws(SandboxError) {
        try check(csb_keep_blocks_apart(largeBlockBytes), "setting how memory is taken")
    }

    /// Gives back what is free, between what is in use too; takes a millisecond for some megabytes.
    public static func trimHeap() { csb_give_back_memory() }
}
