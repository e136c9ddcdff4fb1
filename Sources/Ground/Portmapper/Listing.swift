import Addresses

/// The registrations of a portmapper (DUMP), as far as they were kept.
public struct Listing: Hashable, Sendable {
    /// In rpcbind's order.
    public var registrations: [RPCB]
    /// The count of registrations left out: beyond ``PortmapperLimits/untrustedRegistrationsMax`` or
    /// ``PortmapperLimits/registrationsMax``.
    public var omitted: Int
    /// The version of DUMP that was answered. Version 2 tells neither owners nor addresses (``RPCB/init(_:)``).
    public var version: PortmapperVersion

    public init(_ registrations: [RPCB] = [], omitted: Int = 0, version: PortmapperVersion = .v4) {
        self.registrations = registrations
        self.omitted = omitted
        self.version = version
    }
}

/// Decodes the results of a DUMP as they arrive.
///
/// Any local user may register without end, and with strings of any length. So memory is bounded by the kept data,
/// not by the length of the listing: strings are cut, and beyond a limit registrations of untrusted owners are
/// only counted.
///
/// ```
/// more? ──TRUE──▶ program ─▶ version ─▶ netid ─▶ address ─▶ owner ─▶ more?      (versions 3 and 4)
///   │                           └────▶ protocol ─▶ port ─▶ more?                 (version 2)
///   └───FALSE──▶ done        (anything else ──▶ faulty)
/// ```
public struct ListingDecoder: Sendable {
    private enum State {
        case more, program, version, protocolNumber, port
        /// The string's length is next.
        case length(Int)
        /// The string's bytes are next: `kept` of them are still to be kept, and `left` bytes of the string and
        /// its padding remain.
        case text(Int, kept: Int, left: Int)
        case done, faulty
    }

    /// The limits of netid, address and owner, in this order.
    private static let textBytesMax = [
        PortmapperLimits.netIDBytesMax, PortmapperLimits.addressBytesMax, PortmapperLimits.ownerBytesMax,
    ]

    private let trusted: TrustedOwners
    private var state = State.more
    private var word: UInt32 = 0
    private var wordBytes = 0
    private var program: UInt32 = 0
    private var version: UInt32 = 0
    private var protocolNumber: UInt32 = 0
    private var texts: [[UInt8]] = [[], [], []]
    private var listing: Listing
    private var trustedCount = 0

    /// - Parameters:
    ///   - trusted: owners; their registrations are kept first.
    ///   - version: of the DUMP that was asked.
    public init(trusted: TrustedOwners, version: PortmapperVersion = .v4) {
        self.trusted = trusted
        listing = Listing(version: version)
    }

    /// The whole listing; `nil` before its end, and for bytes that are no listing.
    public var result: Listing? {
        guard case .done = state else { return nil }
        return listing
    }

    /// Takes the next bytes of the results.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        var offset = 0
        while offset < bytes.count {
            switch state {
            case .done, .faulty:
                // Bytes after the end.
                state = .faulty
                return
            case .text(let index, let kept, let left):
                let count = min(left, bytes.count - offset)
                let part = bytes[offset..<offset + min(kept, count)]
                texts[index].append(contentsOf: part.lazy.map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") })
                offset += count
                if left == count {
                    textEnded(index)
                } else {
                    state = .text(index, kept: kept - part.count, left: left - count)
                }
            case .more, .program, .version, .protocolNumber, .port, .length:
                word = word << 8 | UInt32(bytes[offset])
                wordBytes += 1
                offset += 1
                guard wordBytes == 4 else { continue }
                wordBytes = 0
                take(word)
            }
        }
    }

    private mutating func take(_ word: UInt32) {
        switch state {
        case .more:
            switch word {
            case 0: state = .done
            case 1: state = .program
            case _: state = .faulty
            }
        case .program: (program, state) = (word, .version)
        case .version: (version, state) = (word, listing.version == .v2 ? .protocolNumber : .length(0))
        case .protocolNumber: (protocolNumber, state) = (word, .port)
        case .port:
            state = .more
            let mapping = Mapping(
                program: Program(program), version: version, protocolNumber: protocolNumber, port: word)
            // Version 2 tells no owners: all its mappings are alike, so the larger limit holds.
            if let registration = RPCB(mapping) { keep(registration, isTrusted: true) }
        case .length(let index):
            texts[index].removeAll(keepingCapacity: true)
            let padded = (Int(word) + 3) & ~3  // RFC 4506, 4.10
            state = .text(index, kept: min(Int(word), Self.textBytesMax[index]), left: padded)
            if padded == 0 { textEnded(index) }
        case .text, .done, .faulty: break
        }
    }

    private mutating func textEnded(_ index: Int) {
        guard index == texts.count - 1 else {
            state = .length(index + 1)
            return
        }
        state = .more
        let registration = RPCB(
            program: Program(program), version: version, netID: text(0), address: text(1), owner: text(2))
        keep(registration, isTrusted: trusted.contains(registration.owner))
    }

    private mutating func keep(_ registration: RPCB, isTrusted: Bool) {
        let (count, limit) =
            isTrusted
            ? (trustedCount, PortmapperLimits.registrationsMax)
            : (listing.registrations.count - trustedCount, PortmapperLimits.untrustedRegistrationsMax)
        guard count < limit else {
            listing.omitted += 1
            return
        }
        if isTrusted { trustedCount += 1 }
        listing.registrations.append(registration)
    }

    private func text(_ index: Int) -> String { String(decoding: texts[index], as: UTF8.self) }
}

extension RPCB {
    /// A mapping of version 2 as newer versions list it: at every IPv4 address of the host, and without an owner.
    ///
    /// `nil` for a protocol other than TCP and UDP, and for a number that is no port.
    public init?(_ mapping: Mapping) {
        guard let transport = mapping.transport, let port = UInt16(exactly: mapping.port) else { return nil }
        self.init(
            program: mapping.program, version: mapping.version, netID: NetID(transport, isIPv4: true).rawValue,
            address: UniversalAddress(host: .v4(0), port: port).description, owner: "")
    }
}
