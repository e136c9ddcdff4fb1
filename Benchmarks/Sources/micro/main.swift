import Addresses
import Calls
import Firewall
import ONCRPC
import Policy
import Portmapper
import Privilege

var costs: [Cost] = []

// The codec.
let callBytes = getPort.encoded(xid: 7)
let addressBytes = getAddress.encoded(xid: 7)
let client = peer(.v4(0x0a00_0001))
callBytes.withUnsafeBytes { bytes in
    costs.append(
        measure("decode a v2 GETPORT", times: 20_000) { _ in use(IncomingCall(decoding: bytes, from: client)) })
}
addressBytes.withUnsafeBytes { bytes in
    costs.append(
        measure("decode a v4 GETADDR", times: 20_000) { _ in use(IncomingCall(decoding: bytes, from: client)) })
}
costs.append(
    measure("encode a GETPORT reply", times: 20_000) { index in
        use(PortmapperResult.port(UInt32(index & 0xffff)).reply(xid: UInt32(truncatingIfNeeded: index)).encoded)
    })
let dumpBytes = PortmapperResult.registrations(registrations(20)).encoded
dumpBytes.withUnsafeBytes { bytes in
    costs.append(
        measure("decode a DUMP of 80 registrations", times: 500) { _ in
            do { use(try PortmapperResult(decoding: bytes, of: .dump(.v4))) } catch { preconditionFailure("\(error)") }
        })
}
let rpcbs = registrations(20)
costs.append(measure("parse a registry of 80 registrations", times: 500) { _ in use(Registry(rpcbs)) })

// Policy.
for (rules, prefixes) in [(10, 10), (10, 100), (10, 1000), (10, 10_000), (10, 100_000)] {
    let policy = policy(rules: rules, prefixes: prefixes)
    costs.append(
        measure("decide, \(rules) rules, \(prefixes) prefixes", times: 50_000) { index in
            // Knuth's multiplier: consecutive lookups are not adjacent.
            let bits = 0x0a00_0000 | UInt32(truncatingIfNeeded: index &* 2_654_435_761) % UInt32(prefixes << 6)
            use(policy.lookup(.mountd, over: .tcp, by: .v4(bits)))
        })
}

// The path of a call through the pure core; rpcbind and the kernel take no time.
let usual = policy(rules: 10, prefixes: 10)
callBytes.withUnsafeBytes { bytes in
    let denying = thisHost(usual)
    costs.append(
        measure("a denied stranger, decoded and judged", times: 20_000) { index in
            denying.receive(bytes, from: peer(.v4(0xc612_0000 | UInt32(truncatingIfNeeded: index) & 0xffff)))
        })
    precondition(denying.replies == 0)
    let knowing = thisHost(usual)
    costs.append(
        measure("a lookup, grant in place", times: 5000) { _ in knowing.receive(bytes, from: client) })
    precondition(knowing.counters.permitted == 50_000)
    // Grants in total: 10 × 5000.
    let wide = policy(rules: 1, prefixes: 8192)
    let granting = thisHost(wide)
    costs.append(
        measure("a lookup with a new grant", times: 5000) { index in
            granting.receive(bytes, from: peer(.v4(0x0a00_0000 | UInt32(index % 8192) << 6 | UInt32(index / 8192))))
        })
    precondition(granting.grantCount == 50_000)
}
for count in [20, 200] {
    let programs = (0..<count).map { Program(100_003 + 2 * UInt32($0)) }
    let listing = Policy(rules: [
        Rule(
            name: "all", location: Location(file: "policy.yaml", line: 1, column: 1), from: [prefix(0x0a00_0000, 8)],
            to: Set(programs.prefix(count / 2)), lists: true)
    ])
    let core = thisHost(listing, programs: count)
    PortmapperCall.dump(.v4).encoded(xid: 7).withUnsafeBytes { bytes in
        costs.append(
            measure("a DUMP of \(4 * count) registrations, half of them shown", times: 2000 / count) { _ in
                core.receive(bytes, from: peer(.v4(0x0a00_0001), .tcp))
            })
    }
}

// A change at one server of a gateway.
for (servers, grants) in [(1, 0), (300, 0), (300, 60_000)] {
    let core = Gateway(servers: servers, grants: grants)
    costs.append(
        measure("a service of 1 of \(servers) servers moves, \(grants) grants", times: 20) { index in
            core.moveService(of: 1, to: index)
        })
}

// Transactions, in the form sent to the netfilter process.
for count in [1, 64] {
    let keys = (0..<count).map { GrantKey(client: .v4(0x0a00_0000 + UInt32($0)), service: ServicePort(.tcp, 20_048)) }
    costs.append(
        measure("build and encode a transaction of \(count) grants", times: 4000 / count) { _ in
            let transaction = Transaction(
                table: "rpcwarden",
                operations: keys.map {
                    .issueNew(
                        $0, timeout: .seconds(86_400), comment: "100005 since 2026-11-21T11:40:03Z by policy.yaml:14")
                })
            use(NetfilterCall.commit(transaction).encoded)
        })
}

print("[\(costs.map(\.json).joined(separator: ",\n "))]")
