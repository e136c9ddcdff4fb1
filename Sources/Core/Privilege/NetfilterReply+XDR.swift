import Addresses
import Configuration
import Firewall
import ONCRPC

extension NetfilterReply {
    /// The reply as XDR (RFC 4506), without the length that precedes it.
    public var encoded: [UInt8] {
        var encoder = XDREncoder(reserving: grantCount * Self.grantBytes + 64)
        switch self {
        case .ready(let features):
            encoder.uint32(0)
            encoder.bool(features.ownsTables)
            encoder.bool(features.logsDrops)
        case .committed(let failure):
            encoder.uint32(1)
            encoder.optional(failure) { $0.failure($1) }
        case .contents(let contents):
            encoder.uint32(2)
            encoder.optional(contents) { $0.contents($1) }
        case .lifetimes(let lifetimes):
            encoder.uint32(3)
            encoder.list(lifetimes) {
                $0.grantKey($1.key)
                $0.duration($1.value)
            }
        case .cut(let count):
            encoder.uint32(4)
            encoder.uint32(UInt32(clamping: count))
        case .events(let events):
            encoder.uint32(5)
            encoder.events(events)
        case .reloading: encoder.uint32(6)
        case .enforced: encoder.uint32(10)
        case .drops(let counts):
            encoder.uint32(8)
            for count in [counts.guarded, counts.quarantined, counts.strangers, counts.unreported] {
                encoder.uint64(count)
            }
        case .uses(let uses):
            encoder.uint32(9)
            encoder.list(uses) {
                $0.grantKey($1.key)
                $0.duration($1.value.expiresIn)
                $0.uint64($1.value.packets)
            }
        case .guarded(let services):
            encoder.uint32(11)
            encoder.optional(services) { $0.list($1) { $0.service($1) } }
        case .failed(let why):
            encoder.uint32(7)
            encoder.string(why, max: MessageLimits.textBytesMax)
        }
        return encoder.bytes
    }

    /// The number of grants in the reply.
    private var grantCount: Int {
        guard case .contents(let contents?) = self else { return 0 }
        return contents.granted.count + contents.remembered.count
    }

    /// An estimate, so that the memory needn't grow.
    private static let grantBytes = 128

    public init(decoding bytes: UnsafeRawBufferPointer) throws(XDRError) {
        var decoder = XDRDecoder(bytes)
        self = try Self.read(&decoder)
        try decoder.finish()
    }

    private static func read(_ decoder: inout XDRDecoder) throws(XDRError) -> Self {
        switch try decoder.uint32() {
        case 0: return .ready(KernelFeatures(ownsTables: try decoder.bool(), logsDrops: try decoder.bool()))
        case 1: return .committed(try decoder.optional { decoder throws(XDRError) in try decoder.failure() })
        case 2: return .contents(try decoder.optional { decoder throws(XDRError) in try decoder.contents() })
        case 3: return .lifetimes(try decoder.lifetimes())
        case 4: return .cut(Int(try decoder.uint32()))
        case 5: return .events(try decoder.events())
        case 6: return .reloading
        case 7: return .failed(try decoder.string(max: MessageLimits.textBytesMax))
        case 8: return .drops(try decoder.drops())
        case 9: return .uses(try decoder.uses())
        case 10: return .enforced
        case 11: return .guarded(try decoder.optional { decoder throws(XDRError) in try decoder.services() })
        case let other: throw .invalid(other)
        }
    }
}

extension XDREncoder {
    fileprivate mutating func failure(_ failure: CommitFailure) {
        uint32(UInt32(bitPattern: failure.errno))
        string(failure.message, max: MessageLimits.textBytesMax)
        optional(failure.operation) { $0.uint32(UInt32(clamping: $1)) }
    }

    fileprivate mutating func contents(_ contents: TableContents) {
        list(contents.guarded) { $0.service($1) }
        list(contents.granted) { $0.grant($1) }
        list(contents.remembered) { $0.grant($1) }
        list(contents.standing) { $0.standingKey($1) }
        list(contents.callers) { $0.callersKey($1) }
        list(contents.quarantined) {
            $0.address($1.key)
            $0.duration($1.value)
        }
        bool(contents.grantsMayBeKept)
    }

    fileprivate mutating func events(_ events: NetfilterEvents) {
        optional(events.unsettled) { $0.failure($1) }
        // After `overrun` anything may be different, so the reader needs no single change.
        list(events.changes.count > MessageLimits.changesMax ? [.overrun] : events.changes) { $0.change($1) }
        list(events.packets.prefix(MessageLimits.packetsMax)) { $0.packet($1) }
        routing(events.routing)
        optional(events.reading) { $0.files($1) }
    }

    private mutating func files(_ files: FilesRead) {
        list(files) { encoder, file in
            encoder.string(file.key, max: MessageLimits.pathBytesMax)
            encoder.answer(file.value)
        }
    }

    private mutating func answer(_ answer: FileAnswer) {
        switch answer {
        case .file(let bytes):
            uint32(0)
            opaque(bytes)
        case .folder(let names):
            uint32(1)
            list(names) { $0.string($1, max: MessageLimits.nameBytesMax) }
        case .failure(let errno):
            uint32(2)
            uint32(UInt32(bitPattern: errno))
        }
    }

    private mutating func change(_ change: TableChange) {
        guard case .changed(let change) = change else { return uint32(0) }
        uint32(1)
        string(change.table, max: MessageLimits.nameBytesMax)
        what(change.what)
        bool(change.isOwn)
        optional(change.writer) {
            $0.uint32($1.processID)
            $0.string($1.name, max: MessageLimits.nameBytesMax)
        }
    }

    private mutating func what(_ what: TableChange.What) {
        switch what {
        case .tableMade: uint32(0)
        case .tableDeleted: uint32(1)
        case .definition: uint32(2)
        case .elementAdded(let element):
            uint32(3)
            optional(element) { $0.element($1) }
        case .elementDeleted(let element):
            uint32(4)
            optional(element) { $0.element($1) }
        }
    }

    private mutating func packet(_ packet: DroppedPacket) {
        address(packet.client)
        uint32(UInt32(packet.clientPort))
        service(packet.service)
        switch packet.kind {
        case .remembered: uint32(0)
        case .probe: uint32(1)
        case .stranger: uint32(2)
        }
        opaque(packet.payload.prefix(MessageLimits.payloadBytesMax))
    }
}

extension XDRDecoder {
    fileprivate mutating func failure() throws(XDRError) -> CommitFailure {
        CommitFailure(
            errno: Int32(bitPattern: try uint32()), message: try string(max: MessageLimits.textBytesMax),
            operation: try optional { decoder throws(XDRError) in Int(try decoder.uint32()) })
    }

    private mutating func elements<Item>(
        _ itemBytesMin: Int, _ read: (inout Self) throws(XDRError) -> Item
    ) throws(XDRError) -> [Item] {
        try list(max: MessageLimits.elementsMax, itemBytesMin: itemBytesMin, read)
    }

    fileprivate mutating func lifetimes() throws(XDRError) -> [GrantKey: Duration] {
        let pairs = try elements(ItemBytes.grantKey + 8) { decoder throws(XDRError) in
            (try decoder.grantKey(), try decoder.duration())
        }
        return Dictionary(pairs) { _, last in last }
    }

    fileprivate mutating func uses() throws(XDRError) -> [GrantKey: GrantUse] {
        let pairs = try elements(ItemBytes.grantKey + 16) { decoder throws(XDRError) in
            (try decoder.grantKey(), GrantUse(expiresIn: try decoder.duration(), packets: try decoder.uint64()))
        }
        return Dictionary(pairs) { _, last in last }
    }

    fileprivate mutating func services() throws(XDRError) -> Set<ServicePort> {
        Set(try elements(ItemBytes.service) { decoder throws(XDRError) in try decoder.service() })
    }

    fileprivate mutating func contents() throws(XDRError) -> TableContents {
        var contents = TableContents()
        contents.guarded = try services()
        contents.granted = try elements(ItemBytes.grant) { decoder throws(XDRError) in try decoder.grant() }
        contents.remembered = try elements(ItemBytes.grant) { decoder throws(XDRError) in try decoder.grant() }
        contents.standing = Set(
            try elements(ItemBytes.standingKey) { decoder throws(XDRError) in try decoder.standingKey() })
        contents.callers = Set(
            try elements(ItemBytes.callersKey) { decoder throws(XDRError) in try decoder.callersKey() })
        let quarantined = try elements(ItemBytes.address + 8) { decoder throws(XDRError) in
            (try decoder.address(), try decoder.duration())
        }
        contents.quarantined = Dictionary(quarantined) { _, last in last }
        contents.grantsMayBeKept = try bool()
        return contents
    }

    fileprivate mutating func events() throws(XDRError) -> NetfilterEvents {
        NetfilterEvents(
            unsettled: try optional { decoder throws(XDRError) in try decoder.failure() },
            changes: try list(max: MessageLimits.changesMax, itemBytesMin: ItemBytes.change) {
                decoder throws(XDRError) in try decoder.change()
            },
            packets: try list(max: MessageLimits.packetsMax, itemBytesMin: ItemBytes.packet) {
                decoder throws(XDRError) in try decoder.packet()
            },
            routing: try routing(),
            reading: try optional { decoder throws(XDRError) in try decoder.files() })
    }

    private mutating func files() throws(XDRError) -> FilesRead {
        let files = try list(max: MessageLimits.filesMax, itemBytesMin: ItemBytes.file) { decoder throws(XDRError) in
            (try decoder.string(max: MessageLimits.pathBytesMax), try decoder.answer())
        }
        return Dictionary(files) { _, last in last }
    }

    private mutating func answer() throws(XDRError) -> FileAnswer {
        switch try uint32() {
        case 0: return .file(Array(try opaque(max: MessageLimits.fileBytesMax)))
        case 1:
            return .folder(
                try list(max: MessageLimits.filesMax, itemBytesMin: ItemBytes.name) { decoder throws(XDRError) in
                    try decoder.string(max: MessageLimits.nameBytesMax)
                })
        case 2: return .failure(errno: Int32(bitPattern: try uint32()))
        case let other: throw .invalid(other)
        }
    }

    private mutating func change() throws(XDRError) -> TableChange {
        guard try bool() else { return .overrun }
        return .changed(
            TableChange.Change(
                table: try string(max: MessageLimits.nameBytesMax), what: try what(), isOwn: try bool(),
                writer: try optional { decoder throws(XDRError) in
                    TableChange.Writer(
                        processID: try decoder.uint32(), name: try decoder.string(max: MessageLimits.nameBytesMax))
                }))
    }

    private mutating func what() throws(XDRError) -> TableChange.What {
        switch try uint32() {
        case 0: return .tableMade
        case 1: return .tableDeleted
        case 2: return .definition
        case 3: return .elementAdded(try optional { decoder throws(XDRError) in try decoder.element() })
        case 4: return .elementDeleted(try optional { decoder throws(XDRError) in try decoder.element() })
        case let other: throw .invalid(other)
        }
    }

    private mutating func packet() throws(XDRError) -> DroppedPacket {
        var packet = DroppedPacket(
            client: try address(), clientPort: try uint16(), service: try service(), kind: try packetKind())
        packet.payload = Array(try opaque(max: MessageLimits.payloadBytesMax))
        return packet
    }

    private mutating func packetKind() throws(XDRError) -> DroppedPacket.Kind {
        switch try uint32() {
        case 0: return .remembered
        case 1: return .probe
        case 2: return .stranger
        case let other: throw .invalid(other)
        }
    }

    fileprivate mutating func drops() throws(XDRError) -> DropCounts {
        var counts = DropCounts()
        counts.guarded = try uint64()
        counts.quarantined = try uint64()
        counts.strangers = try uint64()
        counts.unreported = try uint64()
        return counts
    }
}
