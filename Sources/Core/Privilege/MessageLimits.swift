/// The limits of a message between the two processes; its reader checks them before it allocates anything.
public enum MessageLimits {
    /// A table made anew with twice as many grants and memories as `limits.grants` allows, of some 200 bytes each.
    public static let messageBytesMax = 512 << 20
    static let operationsMax = 1 << 23
    static let elementsMax = 1 << 22
    /// More changes are reported as `overrun`; more dropped packets are left out.
    static let changesMax = 1 << 16
    static let packetsMax = 1 << 16
    /// The bytes of a dropped packet; the kernel copies no more.
    static let payloadBytesMax = 256
    static let textBytesMax = 1024
    /// The kernel's userdata of an element holds 255 bytes.
    static let commentBytesMax = 255
    /// The name of a table or a process: NFT_NAME_MAXLEN and TASK_COMM_LEN are no more.
    static let nameBytesMax = 255
}
