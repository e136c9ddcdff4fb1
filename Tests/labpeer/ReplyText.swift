import ONCRPC
import Portmapper

/// A reply as one line of text, and whether it could be decoded.
struct ReplyText {
    var text: String
    var isDecoded: Bool

    /// Decodes `bytes` as the reply to `call`; if `call` is `nil`, results stay hexadecimal.
    init(_ bytes: [UInt8], to call: PortmapperCall?, xid: UInt32) {
        let reply: Reply
        do {
            reply = try bytes.withUnsafeBytes { (raw) throws(XDRError) in try Reply(decoding: raw) }
        } catch {
            text = "undecodable \(error) \(hex(bytes))"
            isDecoded = false
            return
        }
        text = Self.text(of: reply.body, to: call)
        isDecoded = true
        if reply.xid != xid { text += " xid=\(reply.xid) (not the call's)" }
    }

    private static func text(of body: Reply.Body, to call: PortmapperCall?) -> String {
        switch body {
        case .success(let results): text(ofResults: results, of: call)
        case .programUnavailable: "program-unavailable"
        case .programMismatch(let low, let high): "program-mismatch \(low) \(high)"
        case .procedureUnavailable: "procedure-unavailable"
        case .garbageArguments: "garbage-arguments"
        case .systemError: "system-error"
        case .rpcMismatch(let low, let high): "rpc-mismatch \(low) \(high)"
        case .authError(let status): "auth-error \(status)"
        }
    }

    private static func text(ofResults results: [UInt8], of call: PortmapperCall?) -> String {
        guard let call else { return results.isEmpty ? "results none" : "results \(hex(results))" }
        do {
            return text(
                of: try results.withUnsafeBytes { (raw) throws(XDRError) in
                    try PortmapperResult(decoding: raw, of: call)
                })
        } catch {
            return results.isEmpty ? "results none" : "results \(hex(results))"
        }
    }

    private static func text(of result: PortmapperResult) -> String {
        switch result {
        case .void: "void"
        case .boolean(let value): "\(value)"
        case .port(let port): "port \(port)"
        case .address(let address): "address \"\(address)\""
        case .mappings(let list):
            line("mappings", list) { "\($0.program)/\($0.version)/\(protocolName($0))/\($0.port)" }
        case .registrations(let list):
            line("registrations", list) { "\($0.program)/\($0.version)/\($0.netID)/\($0.address)/\($0.owner)" }
        case .addressList(let list):
            line("addresses", list) {
                "\($0.netID)/\($0.address)/\($0.semantics)/\($0.protocolFamily)/\($0.protocolName)"
            }
        }
    }

    private static func line<Item>(_ name: String, _ items: [Item], _ text: (Item) -> String) -> String {
        (["\(name)=\(items.count)"] + items.map(text)).joined(separator: " ")
    }

    private static func protocolName(_ mapping: Mapping) -> String {
        mapping.transport?.description ?? "\(mapping.protocolNumber)"
    }
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
