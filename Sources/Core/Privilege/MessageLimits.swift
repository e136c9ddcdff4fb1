/// The limits of a message between the two processes; its reader checks them before it allocates anything.
public enum MessageLimits {
    /// A table made anew with twice as many grants and memories as `limits.grants` allows, of some 200 bytes each.
    public static let messageBytesMax = 512 << 20
    static let operationsMax = 1 << 23
    static let elementsMax = 1 << 22
    /// Services whose flows are cut at once; more take several requests.
    public static let cutServicesMax = 1 << 16
    /// As many as a `ServerID` can number.
    static let serverAddressesMax = 65_535
    /// More changes are reported as `overrun`; more dropped packets are left out.
    static let changesMax = 1 << 16
    static let packetsMax = 1 << 16
    /// Lines about rules and routes: one for what was removed, one for what was added.
    static let routingChangesMax = 2
    /// The bytes of a dropped packet; the kernel copies no more.
    static let payloadBytesMax = 256
    static let textBytesMax = 1024
    /// The kernel's userdata of an element holds 255 bytes.
    static let commentBytesMax = 255
    /// Configuration, program names and policy: more than the policy's files and their folder.
    static let filesMax = 2048
    /// A file that is too long is read up to its limit and one byte more.
    static let fileBytesMax = 4 << 20 + 1
    /// PATH_MAX of Linux.
    static let pathBytesMax = 4096
    /// The name of a table, a process or a file: NFT_NAME_MAXLEN, TASK_COMM_LEN and NAME_MAX are no more.
    static let nameBytesMax = 255
}
