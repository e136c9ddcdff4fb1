import Addresses
import Clock
import Configuration
import Firewall

/// The saved guard as text, one line for each entry, also for people to read.
///
///     rpcwarden-guard 1
///     boot 5e1b2c0a-… network 4026531840
///     table rpcwarden guard enforce
///     never 22
///     guard-ports udp/32765-32768
///     gateway marks 131072 262144
///     server 10.91.2.2
///     closed udp/32768-65535 at 10.91.2.2
///     guarded tcp/2049 programs 100003,100227 sockets 18,19
///     guarded tcp/2049@10.91.2.2 programs 100003 sockets -
///     remembered 10.1.2.3 tcp/20048 until 2026-12-21T11:40:03Z programs 100005 note 100005 since 2026-11-21T11:40:03Z by …
///     end 7
///
/// `-` stands for an empty list. The last line counts the lines before it, so a truncated file isn't taken for a
/// shorter guard.
public enum SavedGuardText {
    public static let version = "rpcwarden-guard 1"
    /// The ports of hosts and servers take less than this; memories that find no room are left out.
    public static let bytesMax = 64 << 20
    static let lineBytesMax = 4096

    /// The reason why the text is no saved guard.
    public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
        /// The line's number, from 1.
        public var line: Int
        public var what: String

        public var description: String { "line \(line): \(what)" }
    }

    /// Whether the byte is printable ASCII that neither ends nor escapes a comment's quotes.
    static func isPlain(_ byte: UInt8) -> Bool {
        (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }
}

// MARK: Writing

extension SavedGuard {
    /// The text. Entries beyond a limit are left out; of the memories, these are the ones that end first.
    public var text: [UInt8] {
        var lines = [SavedGuardText.version]
        if let place { lines.append("boot \(place.boot) network \(place.network)") }
        lines.append("table \(firewall.table) \(firewall.management.rawValue) \(firewall.mode.rawValue)")
        lines += firewall.never.sorted().map { "never \($0)" }
        lines += firewall.guardPorts.prefix(Self.portsMax).map { "guard-ports \($0)" }
        if let gateway = firewall.gateway { lines += Self.lines(of: gateway) }
        for service in keptPorts {
            let numbers = (programs[service] ?? []).map(\.rawValue).sorted().prefix(Self.programsMax)
            let cookies = (sockets[service] ?? []).sorted().prefix(Self.socketsMax)
            lines.append("guarded \(place(service)) programs \(Self.list(numbers)) sockets \(Self.list(cookies))")
        }
        var bytes: [UInt8] = []
        for line in lines {
            bytes += line.utf8
            bytes.append(SavedGuardText.newline)
        }
        let kept = keptMemories
        bytes.reserveCapacity(bytes.count + kept.count * 192)
        var count = lines.count
        for (key, memory) in kept where bytes.count < SavedGuardText.bytesMax - 2 * SavedGuardText.lineBytesMax {
            count += 1
            bytes += "remembered \(key.client) \(place(key.service)) until \(memory.until)".utf8
            bytes += " programs \(Self.list(memory.programs.all.prefix(Self.programsMax).map(\.rawValue)))".utf8
            bytes += " note \(memory.note)\n".utf8
        }
        bytes += "end \(count)\n".utf8
        return bytes
    }

    private static func lines(of gateway: GatewayShape) -> [String] {
        ["gateway marks \(gateway.serverMark) \(gateway.clientMark)"]
            + gateway.addresses.prefix(ServerID.addressesMax).map { "server \($0)" }
            + gateway.closed.prefix(closedMax).compactMap { closed in
                gateway.address(of: closed.server).map {
                    "closed \(Settings.PortRange(closed.transport, closed.ports)) at \($0)"
                }
            }
    }

    /// The port, with the address of the server that has it: `tcp/2049@10.91.2.2`.
    private func place(_ service: ServicePort) -> String {
        guard let address = firewall.gateway?.address(of: service.server) else { return "\(service)" }
        return "\(service)@\(address)"
    }

    /// A server with many ports takes nothing from the others.
    private var keptPorts: [ServicePort] {
        let byServer = Dictionary(grouping: programs.keys, by: \.server)
        let servers = byServer.keys.filter { $0 != .thisHost }.count
        return byServer.flatMap { server, ports in
            ports.sorted().prefix(server == .thisHost ? Self.portsMax : Self.serverPortsMax / servers)
        }.sorted()
    }

    private var keptMemories: [(key: GrantKey, value: Memory)] {
        guard remembered.count > Self.rememberedMax else { return remembered.sorted { $0.key < $1.key } }
        let latest = remembered.sorted { ($0.value.until, $0.key) > ($1.value.until, $1.key) }
        return latest.prefix(Self.rememberedMax).sorted { $0.key < $1.key }
    }

    private static func list(_ numbers: some Collection<some BinaryInteger>) -> String {
        numbers.isEmpty ? "-" : numbers.map { "\($0)" }.joined(separator: ",")
    }
}

// MARK: Reading

extension SavedGuardText {
    static let newline = UInt8(ascii: "\n")
    private static let space = UInt8(ascii: " ")

    /// - Parameter memory: whether memories are wanted; their lines are skipped otherwise.
    public static func read(_ bytes: [UInt8], memory: Bool = true) throws(Fault) -> SavedGuard {
        guard bytes.count <= bytesMax else { throw Fault(line: 1, what: "more than \(bytesMax) bytes") }
        var reader = Reader(readsMemory: memory)
        var start = 0
        while start < bytes.count {
            guard let end = bytes[start...].firstIndex(of: newline) else {
                throw reader.fault("the file ends within it")
            }
            try reader.read(bytes[start..<end])
            start = end + 1
        }
        return try reader.finished()
    }

    private struct Reader {
        let readsMemory: Bool
        private var saved = SavedGuard()
        private var line = 1
        private var hasTable = false
        private var isAtEnd = false
        private var rememberedCount = 0

        init(readsMemory: Bool) {
            self.readsMemory = readsMemory
            saved.firewall.never = []
        }

        func fault(_ what: String) -> Fault { Fault(line: line, what: what) }

        mutating func read(_ bytes: ArraySlice<UInt8>) throws(Fault) {
            guard !isAtEnd else { throw fault("nothing may follow the end") }
            guard bytes.count <= lineBytesMax else { throw fault("longer than \(lineBytesMax) bytes") }
            guard bytes.allSatisfy(isPlain) else { throw fault("not plain text") }
            if line == 1 {
                guard bytes.elementsEqual(version.utf8) else { throw fault("it doesn't begin with \(version)") }
            } else {
                try read(words: bytes)
            }
            line += 1
        }

        private mutating func read(words bytes: ArraySlice<UInt8>) throws(Fault) {
            let key = bytes.prefix { $0 != space }
            if key.elementsEqual("remembered".utf8) {
                rememberedCount += 1
                guard rememberedCount <= SavedGuard.rememberedMax else { throw fault("too much is remembered") }
                if readsMemory { try readMemory(bytes) }
                return
            }
            let words = String(decoding: bytes, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
            switch (words[0], words.count) {
            case ("boot", 4) where words[2] == "network": try readPlace(words[1], words[3])
            case ("table", 4): try readTable(words[1], words[2], words[3])
            case ("never", 2): try readNever(words[1])
            case ("guard-ports", 2): try readGuardPorts(words[1])
            case ("gateway", 4) where words[1] == "marks": try readGateway(words[2], words[3])
            case ("server", 2): try readServer(words[1])
            case ("closed", 4) where words[2] == "at": try readClosed(words[1], words[3])
            case ("guarded", 6) where words[2] == "programs" && words[4] == "sockets":
                try readGuarded(words[1], words[3], words[5])
            case ("end", 2):
                guard number(words[1]) == UInt64(line - 1) else { throw fault("lines are missing") }
                isAtEnd = true
            default: throw fault("not understood: \"\(words[0])\" and \(words.count - 1) words more")
            }
        }

        mutating func finished() throws(Fault) -> SavedGuard {
            guard isAtEnd else { throw fault("the end is missing") }
            guard hasTable else { throw fault("the table is missing") }
            return saved
        }

        private mutating func readPlace(_ boot: Substring, _ network: Substring) throws(Fault) {
            let isID = boot.utf8.count == 36 && boot.utf8.allSatisfy { isHexadecimal($0) || $0 == UInt8(ascii: "-") }
            guard saved.place == nil, isID, let network = number(network) else { throw fault("no such boot") }
            saved.place = SavedGuard.Place(boot: String(boot), network: network)
        }

        private func isHexadecimal(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }

        private mutating func readTable(
            _ name: Substring, _ management: Substring, _ mode: Substring
        ) throws(Fault) {
            guard !hasTable, isTableName(name),
                let management = TableShape.Management(rawValue: String(management)),
                let mode = Settings.Mode(rawValue: String(mode))
            else { throw fault("no such table") }
            hasTable = true
            saved.firewall.table = String(name)
            saved.firewall.management = management
            saved.firewall.mode = mode
        }

        /// Whether the configuration would accept the name.
        private func isTableName(_ name: Substring) -> Bool {
            let bytes = Array(name.utf8)
            guard (1...tableNameBytesMax).contains(bytes.count), isLetter(bytes[0]) else { return false }
            return bytes.allSatisfy {
                isLetter($0) || $0 == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            }
        }

        private func isLetter(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
        }

        private mutating func readNever(_ text: Substring) throws(Fault) {
            guard let port = port(text), saved.firewall.never.insert(port).inserted else {
                throw fault("no such port: \(text)")
            }
        }

        private mutating func readGuardPorts(_ text: Substring) throws(Fault) {
            guard saved.firewall.guardPorts.count < SavedGuard.portsMax, let range = range(text) else {
                throw fault("no such ports: \(text)")
            }
            saved.firewall.guardPorts.append(range)
        }

        private mutating func readGateway(_ toServers: Substring, _ toClients: Substring) throws(Fault) {
            guard saved.firewall.gateway == nil, let toServers = number(toServers).flatMap(UInt32.init(exactly:)),
                let toClients = number(toClients).flatMap(UInt32.init(exactly:))
            else { throw fault("no such marks") }
            var gateway = GatewayShape(addresses: [])
            (gateway.serverMark, gateway.clientMark) = (toServers, toClients)
            saved.firewall.gateway = gateway
        }

        private mutating func readServer(_ text: Substring) throws(Fault) {
            guard let count = saved.firewall.gateway?.addresses.count, count < ServerID.addressesMax,
                let address = IPAddress(String(text)), address.description == text,
                saved.firewall.gateway?.server(at: address) == nil
            else { throw fault("no such server: \(text)") }
            saved.firewall.gateway?.append(address)
        }

        private mutating func readClosed(_ text: Substring, _ address: Substring) throws(Fault) {
            guard let count = saved.firewall.gateway?.closed.count, count < SavedGuard.closedMax,
                let range = range(text, from: 0), let server = server(address)
            else { throw fault("no such ports: \(text)") }
            saved.firewall.gateway?.closed.append(.init(server, range.transport, range.ports))
        }

        private mutating func readGuarded(
            _ text: Substring, _ programs: Substring, _ sockets: Substring
        ) throws(Fault) {
            guard saved.programs.count < SavedGuard.portsMax + SavedGuard.serverPortsMax, let service = service(text)
            else {
                throw fault("no such port: \(text)")
            }
            guard saved.programs[service] == nil else { throw fault("\(service) is there twice") }
            let numbers = try list(programs, max: SavedGuard.programsMax)
            let programs = numbers.compactMap { UInt32(exactly: $0).map { Program($0) } }
            guard programs.count == numbers.count else { throw fault("a program's number is too large") }
            saved.programs[service] = Set(programs)
            let cookies = try list(sockets, max: SavedGuard.socketsMax)
            if !cookies.isEmpty { saved.sockets[service] = Set(cookies) }
        }

        /// `remembered CLIENT PORT until TIME programs NUMBERS note COMMENT`
        private mutating func readMemory(_ bytes: ArraySlice<UInt8>) throws(Fault) {
            let words = bytes.split(separator: space, maxSplits: 8, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            guard words.count == 9, words[3] == "until", words[5] == "programs", words[7] == "note" else {
                throw fault("no memory of a grant")
            }
            guard let client = IPAddress(words[1]), client.description == words[1],
                let service = service(words[2][...]), let until = Timestamp(words[4]),
                words[8].utf8.count <= GrantNote.bytesMax, let note = GrantNote(words[8])
            else { throw fault("no memory of a grant") }
            let numbers = try list(words[6][...], max: SavedGuard.programsMax)
            let programs = numbers.compactMap { UInt32(exactly: $0).map { Programs(Program($0)) } }
            guard let first = programs.first, programs.count == numbers.count else {
                throw fault("no memory of a grant")
            }
            var all = first
            for program in programs.dropFirst() { all.formUnion(program) }
            let key = GrantKey(client: client, service: service)
            let memory = SavedGuard.Memory(note: note, programs: all, until: until)
            guard saved.remembered.updateValue(memory, forKey: key) == nil else { throw fault("\(key) is there twice") }
        }

        // MARK: Words

        /// A decimal number in its only form: without a sign or leading zeros.
        private func number(_ text: some StringProtocol) -> UInt64? {
            guard let number = UInt64(text), "\(number)" == text else { return nil }
            return number
        }

        private func port(_ text: some StringProtocol) -> UInt16? {
            number(text).flatMap { UInt16(exactly: $0) }.flatMap { $0 > 0 ? $0 : nil }
        }

        private func range(_ text: Substring, from least: UInt16 = 1) -> Settings.PortRange? {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, let transport = Transport(name: parts[0]) else { return nil }
            let ends = parts[1].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
                .map { number($0).flatMap { UInt16(exactly: $0) } }
            guard let first = ends[0], let last = ends[ends.count - 1], first >= least, first <= last else {
                return nil
            }
            return Settings.PortRange(transport, first...last)
        }

        private func server(_ address: Substring) -> ServerID? {
            IPAddress(String(address)).flatMap { saved.firewall.gateway?.server(at: $0) }
        }

        /// A port, and the address of its server, if it isn't this host's.
        private func service(_ text: Substring) -> ServicePort? {
            let words = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2 else { return ownService(text) }
            guard let server = server(words[1]) else { return nil }
            return ownService(words[0])?.at(server)
        }

        private func ownService(_ text: Substring) -> ServicePort? {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, let transport = Transport(name: parts[0]), let port = port(parts[1]) else {
                return nil
            }
            return ServicePort(transport, port)
        }

        /// A list in which each number occurs once.
        private func list(_ text: Substring, max countMax: Int) throws(Fault) -> [UInt64] {
            if text == "-" { return [] }
            let words = text.split(separator: ",", maxSplits: countMax, omittingEmptySubsequences: false)
            let numbers = words.compactMap { number($0) }
            guard words.count <= countMax, numbers.count == words.count, Set(numbers).count == numbers.count else {
                throw fault("no list of numbers: \(text)")
            }
            return numbers
        }
    }

    private static let tableNameBytesMax = 64
}
