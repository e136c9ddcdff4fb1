import Addresses
import ONCRPC
import Portmapper

/// The procedure that `labpeer call` calls; it determines how replies are decoded.
enum Procedure {
    case portmapper(PortmapperCall)
    /// Any procedure without arguments.
    case bare(CallHeader)

    func encoded(xid: UInt32) -> [UInt8] {
        switch self {
        case .portmapper(let call): return call.encoded(xid: xid)
        case .bare(var header):
            header.xid = xid
            var encoder = XDREncoder()
            header.encode(into: &encoder)
            return encoder.bytes
        }
    }
}

extension Procedure {
    /// Parses `v2 getport 100005 3 tcp` and similar words; `server` and `transport` supply the remaining arguments
    /// of lookups.
    init(words: [String], server: Endpoint, over transport: Transport) throws(UsageError) {
        var reader = WordReader(words: words[...], server: server, transport: transport)
        self = try reader.procedure()
        guard reader.words.isEmpty else { throw UsageError("too many words: \(reader.words.joined(separator: " "))") }
    }
}

private struct WordReader {
    var words: ArraySlice<String>
    let server: Endpoint
    let transport: Transport

    mutating func procedure() throws(UsageError) -> Procedure {
        if words.first == "raw" {
            words.removeFirst()
            let (program, version) = (try number("program"), try number("version"))
            return .bare(CallHeader(xid: 0, program: program, version: version, procedure: try number("procedure")))
        }
        let version = version()
        let name = try next("procedure")
        guard let call = version == .v2 ? try version2(name) : try version3Or4(name, version) else {
            throw UsageError("version \(version.rawValue) has no procedure \(name)")
        }
        return .portmapper(call)
    }

    /// The default version is 4.
    private mutating func version() -> PortmapperVersion {
        let known: [String: PortmapperVersion] = ["v2": .v2, "v3": .v3, "v4": .v4]
        guard let word = words.first, let version = known[word] else { return .v4 }
        words.removeFirst()
        return version
    }

    private mutating func version2(_ name: String) throws(UsageError) -> PortmapperCall? {
        switch name {
        case "null": .null(.v2)
        case "getport": .getPort(try mapping())
        case "set": .setMapping(try mapping())
        case "unset": .unsetMapping(try mapping())
        case "dump": .dump(.v2)
        case "callit": .callIt(.v2, try remoteCall())
        default: nil
        }
    }

    private mutating func version3Or4(
        _ name: String, _ version: PortmapperVersion
    ) throws(UsageError) -> PortmapperCall? {
        switch (name, version) {
        case ("null", _): .null(version)
        case ("getaddr", _): .getAddress(version, try lookup())
        case ("set", _): .set(version, try registration())
        case ("unset", _): .unset(version, try registration())
        case ("dump", _): .dump(version)
        case ("callit", .v3): .callIt(.v3, try remoteCall())
        case ("gettime", _): .getTime(version)
        case ("uaddr2taddr", _): .universalToTransportAddress(version, words.popFirst() ?? "\(serverAddress)")
        case ("taddr2uaddr", _): .transportToUniversalAddress(version)
        case ("bcast", .v4): .broadcast(try remoteCall())
        case ("indirect", .v4): .indirect(try remoteCall())
        case ("getversaddr", .v4): .getVersionAddress(try lookup())
        case ("getaddrlist", .v4): .getAddressList(try lookup())
        case ("getstat", .v4): .getStatistics
        default: nil
        }
    }

    /// PROGRAM VERSION [TRANSPORT|NUMBER [PORT]]
    private mutating func mapping() throws(UsageError) -> Mapping {
        let (program, version) = (try number("program"), try number("version"))
        let word = words.popFirst()
        let known = word.map { Transport(name: $0) } ?? transport
        let number: UInt32
        if let known { number = UInt32(known.rawValue) } else { number = try parseNumber(word ?? "", as: "transport") }
        let port: UInt32 = try words.isEmpty ? 0 : self.number("port")
        return Mapping(program: Program(program), version: version, protocolNumber: number, port: port)
    }

    /// PROGRAM VERSION [NETID], with the server's address as hint, as clients send it.
    private mutating func lookup() throws(UsageError) -> RPCB {
        RPCB(
            program: Program(try number("program")), version: try number("version"), netID: netID(),
            address: "\(serverAddress)", owner: "")
    }

    /// PROGRAM VERSION [NETID [UADDR [OWNER]]]
    private mutating func registration() throws(UsageError) -> RPCB {
        RPCB(
            program: Program(try number("program")), version: try number("version"), netID: netID(),
            address: words.popFirst() ?? "", owner: words.popFirst() ?? "")
    }

    /// PROGRAM VERSION PROCEDURE
    private mutating func remoteCall() throws(UsageError) -> RemoteCall {
        RemoteCall(
            program: Program(try number("program")), version: try number("version"),
            procedure: try number("procedure"))
    }

    private var serverAddress: UniversalAddress { UniversalAddress(host: server.address, port: server.port) }

    private mutating func netID() -> String {
        words.popFirst() ?? NetID(transport, isIPv4: server.address.isIPv4).rawValue
    }

    private mutating func next(_ what: String) throws(UsageError) -> String {
        guard let word = words.popFirst() else { throw UsageError("the \(what) is missing") }
        return word
    }

    private mutating func number(_ what: String) throws(UsageError) -> UInt32 {
        try parseNumber(try next(what), as: what)
    }
}
