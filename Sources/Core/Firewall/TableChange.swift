/// A change of nftables that the kernel announced.
public enum TableChange: Hashable, Sendable {
    case changed(Change)
    /// More changes than could be reported: anything may be different.
    case overrun

    public struct Change: Hashable, Sendable {
        /// The table of family inet that changed.
        public var table: String
        public var what: What
        /// Whether this daemon made the change.
        public var isOwn: Bool
        /// The process that made the change.
        public var writer: Writer?

        public init(table: String, what: What, isOwn: Bool, writer: Writer? = nil) {
            self.table = table
            self.what = what
            self.isOwn = isOwn
            self.writer = writer
        }
    }

    public enum What: Hashable, Sendable {
        case tableMade, tableDeleted
        /// A set, chain or rule, or an element of a set that isn't ours, was made, changed or deleted.
        case definition
        /// `nil`: a key that isn't understood.
        case elementAdded(TableElement?)
        case elementDeleted(TableElement?)
    }

    /// A process, as the kernel names it.
    public struct Writer: Hashable, Sendable {
        public var processID: UInt32
        public var name: String

        public init(processID: UInt32, name: String) {
            self.processID = processID
            self.name = name
        }
    }
}
