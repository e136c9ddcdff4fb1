import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("A server whose portmapper speaks version 2 only", .lab(.filer, .filerRpcbind, .filerGanesha))
    struct OldPortmapperTests {
        private static let settings = Filer.settings("rpcbind: {address: \"10.77.5.2:1111\", owners: any, refresh: 1s}")

        @Test("is served to rpcinfo, showmount and nfs-ls, which fall back to that version")
        func tools() async throws {
            let lab = try Lab.current
            try lab.spawn(
                .filer, "version-2", ["perl", Lab.path("scripts/lab.d/version-2.pl"), "10.77.5.2", "1111"])
            try await eventually("it listens") { lab.log("version-2").contains("listening") }
            try await lab.serve(Self.settings, policy: Policies.filer)
            try await lab.event(.rpcbindUp) { $0.server == "filer1" }
            for (command, expected) in [
                (["rpcinfo", "-p", "10.77.5.2"], "100005"),
                (["rpcinfo", "-T", "udp", "10.77.5.2", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp", "10.77.5.2", "mountd", "3"], "ready and waiting"),
                (["showmount", "-e", "10.77.5.2"], "/export"),
                (["nfs-ls", "nfs://10.77.5.2/export"], "hello.txt"),
            ] {
                let output = try lab.exec(.approved, command, seconds: 15)
                #expect(output.isSuccess && output.text.contains(expected), "\(command): \(output)")
            }
            for (call, over) in [(PortmapperCall.null(.v3), Transport.udp), (.dump(.v4), .tcp)] {
                let answer = try lab.ask(.approved, call, to: "10.77.5.2", over: over)
                #expect(answer.body == .programMismatch(low: 2, high: 2), "\(answer)")
            }
            #expect(try lab.ask(.stranger, .dump(.v4), to: "10.77.5.2", over: .udp, options: "--wait 1000").isSilence)
            let port = try lab.portAtFiler(of: "mountd", "tcp")
            let outcome = try lab.peer(.stranger, "connect --to 10.77.5.2 --port \(port) --over tcp --wait 400")
            #expect(outcome.lines == ["timeout"])
        }
    }
}
