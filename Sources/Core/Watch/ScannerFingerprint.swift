import Addresses
import Calls
import ONCRPC
import Portmapper

/// The features that a source's denied calls share with the calls of known tools.
///
/// These are marks that the tools can't avoid: fixed transaction ids, versions that no server serves, the
/// procedures in the order of their source code. Any source may imitate them. They are told as the tool that the
/// source *looks like*, and decide nothing.
struct ScannerFingerprint: OptionSet, Hashable, Sendable {
    var rawValue: UInt16

    /// nmap's version scan (its probe `RPCCheck`): always the same transaction id, or version 104316.
    static let nmapProbe = ScannerFingerprint(rawValue: 1 << 0)
    static let listsVersion2 = ScannerFingerprint(rawValue: 1 << 1)
    static let listsNewer = ScannerFingerprint(rawValue: 1 << 2)
    static let listsOverUDP = ScannerFingerprint(rawValue: 1 << 3)
    static let asksStatistics = ScannerFingerprint(rawValue: 1 << 4)
    static let asksForRemoteCalls = ScannerFingerprint(rawValue: 1 << 5)
    static let registers = ScannerFingerprint(rawValue: 1 << 6)
    static let walksVersions = ScannerFingerprint(rawValue: 1 << 7)
    static let looksUpMountd = ScannerFingerprint(rawValue: 1 << 8)
    static let looksUpOthers = ScannerFingerprint(rawValue: 1 << 9)
    /// Looks up mountd by GETADDR, as showmount does before anything else; a mount begins with nfs.
    static let findsMountd = ScannerFingerprint(rawValue: 1 << 10)
    /// Looks up the portmapper itself, or version 0 of a program: rpcinfo's way to find out versions.
    static let feelsForVersions = ScannerFingerprint(rawValue: 1 << 11)
    static let listsAddresses = ScannerFingerprint(rawValue: 1 << 12)

    /// Marks of calls that no client makes to use a service; each alone suffices.
    static let enumerating: ScannerFingerprint = [
        .nmapProbe, .listsVersion2, .listsNewer, .asksStatistics, .asksForRemoteCalls, .walksVersions,
        .feelsForVersions,
    ]

    var isEnumerating: Bool {
        !isDisjoint(with: .enumerating) || contains(.findsMountd) && !contains(.looksUpOthers)
    }

    private static let nmapXID: UInt32 = 0x72FE_1D13
    private static let nmapVersion: UInt32 = 104_316

    init(rawValue: UInt16) { self.rawValue = rawValue }

    init(of incoming: IncomingCall) {
        self = []
        if incoming.xid == Self.nmapXID { insert(.nmapProbe) }
        switch incoming.content {
        case .call(let call): mark(call, over: incoming.peer.transport)
        case .undispatchable(let header, _): if header.version == Self.nmapVersion { insert(.nmapProbe) }
        case .faulty: break
        }
    }

    private mutating func mark(_ call: PortmapperCall, over transport: Transport) {
        switch call {
        case .dump(let version):
            insert(version == .v2 ? .listsVersion2 : .listsNewer)
            if transport == .udp { insert(.listsOverUDP) }
        case .getAddressList:
            insert(.listsAddresses)
            markLookup(call)
        case .getStatistics: insert(.asksStatistics)
        case .callIt, .broadcast, .indirect: insert(.asksForRemoteCalls)
        case .setMapping, .unsetMapping, .set, .unset: insert(.registers)
        case .getPort, .getAddress, .getVersionAddress: markLookup(call)
        case .null, .getTime, .universalToTransportAddress, .transportToUniversalAddress: break
        }
    }

    private mutating func markLookup(_ call: PortmapperCall) {
        guard let (program, version) = call.subject else { return }
        insert(program == .mountd ? .looksUpMountd : .looksUpOthers)
        if version == 0 || program == .portmapper { insert(.feelsForVersions) }
        if case .getAddress = call, program == .mountd, version != 0 { insert(.findsMountd) }
    }

    /// The tool that leaves such marks; `nil` if none is known.
    func tool(programs: Int) -> String? {
        if contains(.nmapProbe) { return "nmap's version scan" }
        if contains([.asksStatistics, .listsVersion2, .listsNewer, .listsOverUDP]) {
            return "metasploit's portmap_amp"
        }
        if programs >= Self.programsOfAWalk { return "a walk through program numbers" }
        if contains(.listsOverUDP) { return "an Internet survey (UDP DUMP), or rpcinfo" }
        if contains([.listsVersion2, .listsNewer]) { return Self.nmapScript }
        if !isDisjoint(with: [.feelsForVersions, .listsNewer, .listsAddresses, .asksStatistics]) { return "rpcinfo" }
        if contains(.listsVersion2) { return Self.nmapScript }
        if contains(.findsMountd), !contains(.looksUpOthers) { return "showmount" }
        return nil
    }

    /// The script tries versions 4, 3 and 2 of DUMP, each on a connection of its own.
    private static let nmapScript = "nmap's rpcinfo script, or the like"
    private static let programsOfAWalk = 8
}
