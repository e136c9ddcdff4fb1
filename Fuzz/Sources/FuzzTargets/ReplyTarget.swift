import Addresses
import ONCRPC
import Portmapper
import Probes

extension FuzzTarget {
    /// A message from rpcbind, decoded as the reply to each procedure in turn, and as a probe takes it.
    static let reply = FuzzTarget(name: "reply", allocationFactor: 16) { bytes in
        checkProbe(bytes)
        guard let reply = attempt({ try Reply(decoding: bytes) }) else { return }
        let encoded = reply.encoded
        require(encoded.count <= bytes.count, "\(reply) grew to \(encoded.count) bytes")
        require(encoded.withUnsafeBytes { raw in attempt { try Reply(decoding: raw) } } == reply, "\(reply)")
        guard case .success(let results) = reply.body else { return }
        for call in calls { results.withUnsafeBytes { checkResult($0, of: call) } }
    }

    private static let calls: [PortmapperCall] = {
        let mapping = Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 0)
        let rpcb = RPCB(program: .nfs, version: 3, netID: "tcp", address: "", owner: "")
        return [
            .null(.v2), .setMapping(mapping), .getPort(mapping), .getAddress(.v4, rpcb), .dump(.v2), .dump(.v4),
            .getAddressList(rpcb), .getStatistics,
        ]
    }()
}

/// A probe is more lenient: what is a reply to others is one to it.
private func checkProbe(_ bytes: UnsafeRawBufferPointer) {
    let reply = attempt { try Reply(decoding: bytes) }
    var decoder = XDRDecoder(bytes)
    let status = ReplyStatus(of: bytes, to: attempt { try decoder.uint32() } ?? 0)
    if let reply {
        require(status != .broken && status != .foreign, "\(reply) is \(status)")
        if case .success(let results) = reply.body {
            require(status == .success(results: results), "\(reply) is \(status)")
        }
    }
    checkProbe(at: .v4(1), status)
    checkProbe(at: .v6(1), status)
}

private func checkProbe(at host: IPAddress, _ status: ReplyStatus) {
    var probe = ServiceProbe(ProbeSubject(program: .nfs, version: 3, transport: .tcp), at: host)
    // A lookup in two versions, and the call.
    for _ in 0..<3 {
        guard case .found(let finding) = probe.ended(.reply(status)) else { continue }
        return require(finding.verdict != .silent && finding.port != 0, "\(finding)")
    }
    require(false, "\(status) leads nowhere")
}

private func checkResult(_ bytes: UnsafeRawBufferPointer, of call: PortmapperCall) {
    guard let result = attempt({ try PortmapperResult(decoding: bytes, of: call) }) else { return }
    let encoded = result.encoded
    require(encoded.count <= bytes.count, "\(result) grew to \(encoded.count) bytes")
    let again = encoded.withUnsafeBytes { raw in attempt { try PortmapperResult(decoding: raw, of: call) } }
    require(again == result, "\(result) became \(String(describing: again))")
    switch result {
    case .registrations(let list):
        checkRegistry(list)
        checkListing(bytes, of: .v4, list)
    case .address(let text): _ = UniversalAddress(text)
    case .mappings(let list):
        let registrations = list.compactMap(RPCB.init)
        checkRegistry(registrations)
        checkListing(bytes, of: .v2, registrations)
    case .void, .boolean, .port, .addressList: break
    }
}

/// What is decoded as it arrives is what is decoded as a whole, wherever it is cut.
private func checkListing(_ bytes: UnsafeRawBufferPointer, of version: PortmapperVersion, _ list: [RPCB]) {
    let expected = Listing(list, version: version)
    for partBytes in [bytes.count, 1, 7] {
        var decoder = ListingDecoder(trusted: TrustedOwners(atServer: ["any"]), version: version)
        for start in stride(from: 0, to: bytes.count, by: partBytes) {
            decoder.feed(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + partBytes, bytes.count)]))
        }
        require(decoder.result == expected, "cut by \(partBytes): \(String(describing: decoder.result))")
    }
}

private func checkRegistry(_ list: [RPCB]) {
    let registry = Registry(list)
    require(registry.registrations.count <= list.count, "more registrations than lines")
    for registration in registry.registrations {
        require((registration.netID == .local) == (registration.service == nil), "\(registration)")
        require(registration.service?.port != 0, "\(registration)")
    }
}

func attempt<Value, Failure: Error>(_ body: () throws(Failure) -> Value) -> Value? {
    do { return try body() } catch { return nil }
}
