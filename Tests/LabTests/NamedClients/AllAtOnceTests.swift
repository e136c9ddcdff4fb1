import Addresses
import Foundation
import Testing

/// The combined test of issue 14: all failures at the same time, no port opens, and the approved client is
/// answered without delay.
extension LabTests {
    @Suite("All at once")
    struct AllAtOnceTests {
        private static let names = (1...12).map { "host\($0).dead.example" }

        private static let policy = """
            rules:
              - name: the approved client
                from: [10.77.1.0/24, 10.78.0.0/16, "fd79::1:7", \(names.joined(separator: ", "))]
                to: [nfs, mountd, nlockmgr, status, \(Echo.programs[0])]
                list: true
              - name: nfs stands open
                from: [10.77.1.0/24]
                to: [nfs]
                open: always
            """

        /// Lookups by the approved client over both transports, and by the named client in the flooding /64; asked
        /// again after two seconds, as clients do.
        private static func lookUp(_ lab: Lab, _ what: String) throws {
            let service = "--program \(Echo.programs[0]) --version 1 --service tcp --wait 2000 --retries 9"
            for transport in Transport.allCases {
                let storm = try lab.peer(
                    .approved, "storm --to 10.77.1.1 --over \(transport) --count 20 --sources 10.78.0.1/20 \(service)")
                print("\(what), approved, \(transport): \(storm.text.dropLast())")
                #expect(try storm.number("ok") == 20, "\(what): \(storm)")
            }
            let named = try lab.peer(
                .stranger,
                "storm --to fd77:4::1 --over tcp --count 20 --sources fd79::1:7/1 --program 100000"
                    + " --version 4 --service tcp --wait 2000 --retries 9")
            print("\(what), named beside the neighbour: \(named.text.dropLast())")
            #expect(try named.number("unanswered") == 0, "\(named)")
        }

        private static func strangers(_ lab: Lab, at ports: [UInt16]) throws -> Set<String> {
            Set(
                try ports.map {
                    try lab.peer(.stranger, "connect --to 10.77.4.1 --port \($0) --over tcp --wait 300").lines.first
                        ?? ""
                })
        }

        @Test(
            "dead names, a neighbour, a local user and one who reads nothing; then rpcbind dies and forgets",
            .lab(.rpcbind, .ganesha))
        func allAtOnce() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let ports =
                try [(100_003, 3), (100_005, 3), (100_021, 4)].map { try lab.port(of: $0.0, $0.1, "tcp") } + [4001]
            try await lab.silenceNames(timeout: 30)
            try await lab.serve("quarantine: false", policy: Self.policy)
            #expect(try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export").isSuccess)
            #expect(try Self.strangers(lab, at: ports) == ["timeout"])
            let guarded = Set(try lab.elements(of: "guarded"))

            try lab.spawnPeer(
                .stranger, "neighbour", "flood --to fd77:4::1 --over udp --sources fd79::1:8/64 --seconds 120")
            try lab.spawnPeer(
                .server, "local", "flood --to 127.0.0.1 --over udp --sources 127.0.0.1/64 --seconds 120")
            try lab.spawnPeer(
                .server, "connections", "debt --to 10.77.1.1 --connections 300 --calls 0 --reads --hold 120000 distinct"
            )
            try lab.spawnPeer(
                .approved, "debtor",
                "debt --to 10.77.1.1 --from 10.78.0.99 --connections 8 --calls 1000 --hold 120000 v4 dump")
            try await eventually("the local user is connected") {
                lab.log("connections").contains("opened=")
            }
            try Self.lookUp(lab, "floods")

            try lab.kill("rpcbind", "KILL")
            try lab.control("rpcbind", "start")
            try await lab.event(.orphaned) { $0.program == 100_003 }
            // The echo service registers again; the other registrations are lost.
            try lab.register(echo)
            try await eventually("the echo is told again") {
                try lab.lookUp(echo, options: "--wait 2000").result(of: echo.getPort) == .port(4001)
            }
            try Self.lookUp(lab, "rpcbind came back empty, and floods")
            #expect(try Self.strangers(lab, at: ports) == ["timeout"])
            #expect(Set(try lab.elements(of: "guarded")) == guarded)
            #expect(try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export?version=4").isSuccess)

            let doctor = try lab.rpcwarden("doctor")
            let registry = try lab.rpcwarden("registry")
            print("doctor:\n\(doctor.text)registry:\n\(registry.text)")
            #expect(doctor.text.contains("orphaned-service") && registry.text.contains("orphaned"))
            for flood in ["neighbour", "local", "connections"] {
                #expect(try lab.isRunning(flood), "the floods went on")
                try lab.kill(flood)
            }
        }
    }
}
