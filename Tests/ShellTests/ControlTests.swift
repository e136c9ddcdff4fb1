import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import Control

@Suite("control socket", .serialized)
struct ControlTests {
    private func serving(
        _ answer: @escaping @Sendable (ControlCall) -> ControlReply, _ body: (String) throws -> Void
    ) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let path = NSTemporaryDirectory() + "rpcwarden-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        let server = try loop.submit {
            NIOLoopBound(ControlServer(on: loop, path: path, answer: answer), eventLoop: loop)
        }.wait()
        try loop.flatSubmit { server.value.listen() }.wait()
        try body(path)
        try loop.submit { server.value.close() }.wait()
    }

    @Test(
        "lets in root, the daemon's user and the daemon's group, and nobody else",
        arguments: [(0, 54_321, true), (54_321, 54_321, false)])
    func credentials(uid: UInt32, gid: UInt32, isAdmitted: Bool) {
        #expect(ControlServer.admits(PeerCredentials(pid: 1, uid: uid, gid: gid)) == isAdmitted)
        #expect(ControlServer.admits(PeerCredentials(pid: 1, uid: geteuid(), gid: gid)))
        #expect(ControlServer.admits(PeerCredentials(pid: 1, uid: 54_321, gid: getegid())))
    }

    @Test("carries a call and its reply, and makes its socket 0660")
    func roundTrip() throws {
        try serving({ ControlReply(changes: ["\($0.command.rawValue) \($0.client ?? "-") \($0.port ?? 0)"]) }) { path in
            let reply = try ControlClient(path: path).ask(ControlCall(.revoke, client: "10.0.0.1", port: 2049))
            #expect(reply.changes == ["revoke 10.0.0.1 2049"])
            var status = stat()
            #expect(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o660)
        }
    }

    @Test("carries an answer of many thousand lines")
    func large() throws {
        let rows = (0..<20_000).map { index in
            GrantRow(
                client: "10.0.\(index >> 8 & 255).\(index & 255)", transport: "tcp", port: 2049, program: 100_003,
                programName: "nfs", rule: "policy.yaml:1 \"r\"", issued: nil, expires: "2026-11-21T12:00:00Z",
                packets: UInt64(index))
        }
        try serving({ _ in ControlReply(grants: rows) }) { path in
            let reply = try ControlClient(path: path).ask(ControlCall(.grants))
            #expect(reply.grants == rows)
        }
    }

    @Test("says that nobody serves the socket, and what to do")
    func unreachable() {
        let error = #expect(throws: ControlError.self) {
            try ControlClient(path: "/nowhere/control.sock").ask(ControlCall(.status))
        }
        #expect(error?.description.contains("is `rpcwarden serve` running") == true)
    }
}
