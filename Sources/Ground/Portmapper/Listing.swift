import Addresses

/// The registrations of rpcbind (DUMP of version 4), as far as they were kept.
public struct Listing: Hashable, Sendable {
    /// In rpcbind's order.
    public var registrations: [RPCB]
    /// The count of registrations left out: beyond ``PortmapperLimits/untrustedRegistrationsMax`` or
    /// ``PortmapperLimits/registrationsMax``.
    public var omitted: Int
    /// The version of the DUMP that was answered. Version 2 tells neither owners nor addresses.
    public var version: PortmapperVersion = .v4

    public init(_ registrations: [RPCB] = [], omitted: Int = 0) {
        self.registrations = registrations
        self.omitted = omitted
    }
}

/// Decodes the results of a DUMP of versions 3 and 4 as they arrive.
///
/// Any local user may register without end, and with strings of any length. So memory is bounded by the kept data,
/// not by the length of the listing: strings are cut, and beyond a limit registrations of untrusted owners are
/// only counted.
///
/// ```
/// more? ──TRUE──▶ program ─▶ version ─▶ netid ─▶ address ─▶ owner ─▶ more?
///   └───FALSE──▶ done        (anything else ──▶ faulty)
/// ```
public struct ListingDecoder: Sendable {
    private enum State {
        case more, program, version
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

    private let trusted: Set<String>
    private var state = State.more
    private var word: UInt32 = 0
    private var wordBytes = 0
    private var program: UInt32 = 0
    private var version: UInt32 = 0
    private var texts: [[UInt8]] = [[], [], []]
    private var listing = Listing()
    private var trustedCount = 0

    /// - Parameter trusted: owners; their registrations are kept first.
    public init(trusted: Set<String>) {
        self.trusted = trusted
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
            case .more, .program, .version, .length:
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
        case .version: (version, state) = (word, .length(0))
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
        let owner = text(2)
        let isTrusted = trusted.contains(owner)
        let (count, limit) =
            isTrusted
            ? (trustedCount, PortmapperLimits.registrationsMax)
            : (listing.registrations.count - trustedCount, PortmapperLimits.untrustedRegistrationsMax)
        guard count < limit else {
            listing.omitted += 1
            return
        }
        if isTrusted { trustedCount += 1 }
        listing.registrations.append(
            RPCB(program: Program(program), version: version, netID: text(0), address: text(1), owner: owner))
    }

    private func text(_ index: Int) -> String { String(decoding: texts[index], as: UTF8.self) }
}
