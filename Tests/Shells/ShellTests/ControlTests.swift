import Activity
import Foundation
import NIOCore
import NIOPosix
import System
import Testing

@testable import Control

@Suite("control socket", .serialized)
struct ControlTests {
    private func serving(
        refusing: Set<Int32> = [], _ answer: @escaping @Sendable (ControlCall) -> ControlReply,
        _ body: (String) throws -> Void
    ) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { group.shutdownGracefully { #expect($0 == nil) } }
        let loop = group.next()
        let path = NSTemporaryDirectory() + "rpcwarden-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        let server = try loop.submit {
            let server = ControlServer(on: loop, socket: try ControlSocket(at: path), refusing: refusing) {
                loop.makeSucceededFuture(.reply(answer($0)))
            }
            return NIOLoopBound(server, eventLoop: loop)
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
        // usermod -aG gives a user the group as a supplementary one.
        let member = PeerCredentials(pid: 1, uid: 54_321, gid: 54_321)
        #expect(ControlServer.admits(member, in: [100, getegid()]) && !ControlServer.admits(member, in: [54_320]))
        #expect(!ControlServer.admits(member, in: [8], user: 7, group: 8, nobody: 7))
        // The user nobody may run other daemons too.
        let other = PeerCredentials(pid: 1, uid: 7, gid: 8)
        #expect(ControlServer.admits(other, user: 7, group: 9, nobody: 5))
        #expect(!ControlServer.admits(other, user: 7, group: 8, nobody: 7))
        #expect(ControlServer.admits(PeerCredentials(pid: 1, uid: 0, gid: 0), user: 7, group: 8, nobody: 7))
    }

    @Test("knows the supplementary groups of the other end")
    func groups() throws {
        var ends: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { for end in ends { Glibc.close(end) } }
        var own = [gid_t](repeating: 0, count: 65_536)
        let count = getgroups(Int32(own.count), &own)
        #expect(PeerCredentials.groups(of: ends[0]).sorted() == own.prefix(Int(count)).sorted())
        #expect(PeerCredentials.groups(of: -1).isEmpty)
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

    @Test("takes the place of a socket that nobody serves, of no other, and of no file")
    func places() throws {
        let path = NSTemporaryDirectory() + "rpcwarden-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        defer { unlink(path) }
        let stale = try ControlSocket(at: path)
        #expect(try ControlSocket(at: path).path == path)
        Glibc.close(stale.descriptor)
        unlink(path)
        let listener = try silentListener(at: path)
        let taken = ControlServerError(setting: "control", path: path, detail: "Address already in use")
        #expect(throws: taken) { try ControlSocket(at: path) }
        #expect(taken.description.hasSuffix("end or remove it, or name another place"))
        Glibc.close(listener)
        #expect(try ControlSocket(at: path).path == path)
        unlink(path)
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        #expect(throws: taken) { try ControlSocket(at: path) }
    }

    @Test("refuses the processes that it was told of, though they are of its user")
    func refusing() throws {
        try serving(refusing: [getpid()], { _ in ControlReply() }) { path in
            let reply = try ControlClient(path: path).ask(ControlCall(.status))
            #expect(reply.failure?.hasSuffix("may not control the daemon; run the command as root") == true, "\(reply)")
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

    @Test("carries as many watched grants as there may be, each as long as can be")
    func watchedGrants() throws {
        let longest = GrantLabel(client: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", service: "tcp/65535")
        let watched = Array(repeating: longest, count: ActivityReport.watchedMax)
        try serving({ call in ControlReply(changes: ["\(call.watched?.count ?? 0) \(call.nextGrant ?? 0)"]) }) { path in
            let reply = try ControlClient(path: path).ask(ControlCall(.activity, watched: watched, nextGrant: .max))
            #expect(reply.changes == ["\(watched.count) \(Int.max)"])
        }
    }

    @Test("gives up a daemon that says nothing for as long as its patience lasts")
    func patience() throws {
        let path = NSTemporaryDirectory() + "rpcwarden-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        let listener = try silentListener(at: path)
        defer {
            close(listener)
            unlink(path)
        }
        let begin = ContinuousClock.now
        #expect(throws: ControlError.interrupted(path: path)) {
            try ControlClient(path: path, patience: .milliseconds(100)).ask(ControlCall(.activity))
        }
        let waited = ContinuousClock.now - begin
        #expect(waited >= .milliseconds(90) && waited < .seconds(20), "\(waited)")
    }

    private func silentListener(at path: String) throws -> Int32 {
        let descriptor = try UnixSocket.make(.stream)
        try UnixSocket.bind(descriptor, to: path)
        try #require(listen(descriptor, 1) == 0)
        return descriptor
    }

    @Test("says that nobody serves the socket, and what to do")
    func unreachable() {
        let error = #expect(throws: ControlError.self) {
            try ControlClient(path: "/nowhere/control.sock").ask(ControlCall(.status))
        }
        #expect(error?.description.contains("is `rpcwarden serve` running") == true)
    }
}
