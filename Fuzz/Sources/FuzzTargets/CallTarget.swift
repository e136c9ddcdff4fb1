import Addresses
import Calls
import Configuration
import ONCRPC
import Policy
import Portmapper
import Warden

extension FuzzTarget {
    /// A message received at port 111.
    static let call = FuzzTarget(name: "call", allocationFactor: 8) { checkCall($0) }

    /// A byte for version and procedure, such as 0x43 for GETADDR of version 4, followed by the arguments.
    static let arguments = FuzzTarget(name: "arguments", allocationFactor: 8) { bytes in
        guard let first = bytes.first else { return }
        var encoder = XDREncoder()
        CallHeader(
            xid: 1, program: Program.portmapper.rawValue, version: UInt32(first >> 4), procedure: UInt32(first & 0xf)
        ).encode(into: &encoder)
        encoder.raw(bytes.dropFirst())
        encoder.bytes.withUnsafeBytes { checkCall($0) }
    }
}

private func checkCall(_ bytes: UnsafeRawBufferPointer) {
    let incoming = IncomingCall(decoding: bytes, from: Asker.named)
    if case .call(let call) = incoming.content {
        let encoded = call.encoded(xid: incoming.xid)
        require(encoded.count <= bytes.count, "\(call) grew to \(encoded.count) bytes")
        let again = encoded.withUnsafeBytes { IncomingCall(decoding: $0, from: Asker.named) }
        require(again.content == incoming.content && again.xid == incoming.xid, "\(call) became \(again.content)")
    }
    for asker in Asker.all { asker.check(bytes) }
}

/// A peer that calls a Warden without an answer from rpcbind so far.
private struct Asker: Sendable {
    let peer: Peer
    let settings: Settings
    let policy: Policy

    static let named = peer(0x0a01_0203, .udp)

    static let all: [Asker] = {
        var settings = Settings()
        let quiet = settings
        settings.denial.strangers = .authError
        settings.denial.refuse = .notRegistered
        let talkative = settings
        settings.mode = .observe
        return [quiet, talkative, settings].flatMap { settings in
            let rule = Rule(
                name: "", location: Location(file: "", line: 1, column: 1), from: [.prefix(Prefix(named.address))],
                to: [.mountd], lists: true)
            let policy = Policy(rules: [rule])
            return [named, peer(0x0a01_0203, .tcp), peer(0xc000_0209, .udp)].map {
                Asker(peer: $0, settings: settings, policy: policy)
            }
        }
    }()

    private static func peer(_ address: UInt32, _ transport: Transport) -> Peer {
        Peer(
            address: .v4(address), port: 700, transport: transport,
            asked: UniversalAddress(host: .v4(0x0a01_0001), port: 111), channel: 1, interface: 2)
    }

    func check(_ bytes: UnsafeRawBufferPointer) {
        var warden = Warden(
            settings: settings, policy: policy, names: ProgramNames(), trustedOwners: ["superuser"])
        var actions: [Action] = []
        warden.callReceived(IncomingCall(decoding: bytes, from: peer), at: .zero, into: &actions)
        for action in actions {
            switch action {
            case .sendReply(let reply, let receiver): check(reply, to: receiver, of: bytes)
            case .ask(let question, _): check(question)
            case .inspectOwner: require(false, "a registration of another host")
            case .closeConnection, .callServices, .askClient, .inspectListeners, .commit, .inspectGrants, .cutFlows,
                .tellFleet,
                .audit:
                break
            }
        }
    }

    private func check(_ reply: Reply, to receiver: Peer, of bytes: UnsafeRawBufferPointer) {
        let encoded = reply.encoded
        require(receiver == peer, "an answer to somebody else")
        require(
            peer.transport == .tcp || encoded.count <= bytes.count || mayBeLonger(bytes),
            "\(bytes.count) bytes are answered with \(encoded.count)")
        require(
            peer.transport == .tcp || peer.address == Self.named.address
                || settings.mode == .observe || settings.denial.strangers == .authError,
            "a stranger is answered over UDP")
    }

    /// A named client is told the portmapper's own addresses, of which there are several.
    private func mayBeLonger(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard peer.address == Self.named.address,
            case .call(.getAddressList(let rpcb)) = IncomingCall(decoding: bytes, from: peer).content
        else { return false }
        return rpcb.program == .portmapper
    }

    private func check(_ question: Question) {
        switch question.call {
        case .null, .getPort, .getAddress, .getVersionAddress, .getAddressList, .dump: break
        case .setMapping, .unsetMapping, .set, .unset, .callIt, .broadcast, .indirect, .getTime,
            .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            require(false, "rpcbind would be asked \(question)")
        }
    }
}
