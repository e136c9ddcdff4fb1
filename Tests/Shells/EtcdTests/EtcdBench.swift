import Etcd
import Foundation
import NIOCore
import NIOPosix
import Testing

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension EtcdSettings {
    /// For a member without TLS.
    static func plain(_ endpoints: EtcdEndpoint...) -> EtcdSettings {
        var settings = EtcdSettings(endpoints: endpoints, tls: EtcdTLS(authority: TestCA.any))
        settings.permitsPlainLoopback = true
        // On a busy machine etcd itself takes seconds.
        settings.connectTimeout = .seconds(30)
        settings.requestTimeout = .seconds(60)
        return settings
    }
}

/// A client that is closed afterwards.
func withClient<Result>(_ settings: EtcdSettings, _ body: (EtcdClient) throws -> Result) throws -> Result {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let client = try EtcdClient(on: group.next(), settings)
    defer {
        client.close()
        group.shutdownGracefully { #expect($0 == nil) }
    }
    return try body(client)
}

/// Asks until there is an answer.
@discardableResult
func eventually<Value>(_ body: () throws -> Value, while isAwaited: (EtcdError) -> Bool) throws -> Value {
    let deadline = ContinuousClock.now + .seconds(120)
    while true {
        do {
            return try body()
        } catch let error as EtcdError where isAwaited(error) && ContinuousClock.now < deadline {
            usleep(50_000)
        }
    }
}

/// One etcd that answers, and a client of it.
func withEtcd<Result>(_ arguments: [String] = [], _ body: (EtcdClient, EtcdMember) throws -> Result) throws -> Result {
    let folder = try TestFolder()
    let member = try EtcdMember(in: folder, arguments)
    try member.start()
    defer { member.stop() }
    return try withClient(.plain(member.endpoint)) { client in
        try awaitAnswer(of: client, member)
        return try body(client, member)
    }
}

func awaitAnswer(of client: EtcdClient, _ member: EtcdMember) throws {
    do {
        try eventually {
            try client.probe(bytes("a")).wait()
        } while: {
            if case .lost = $0 { true } else { false }
        }
    } catch {
        Issue.record("\(error); etcd, which is in Debian's etcd-server, says: \(member.log.suffix(2000))")
        throw error
    }
}

/// Catches the error of a request.
func failure<Value>(_ body: () throws -> Value) -> EtcdError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? EtcdError
    }
}

/// A client of one member that answers as told.
func withFake<Result>(
    timeout: Duration = .seconds(60), credentials: EtcdCredentials? = nil,
    _ answer: @escaping @Sendable (FakeMember.Call) -> FakeMember.Reply,
    body: (EtcdClient, FakeMember) throws -> Result
) throws -> Result {
    let member = try FakeMember(answer)
    defer { member.stop() }
    var settings = EtcdSettings.plain(member.endpoint)
    settings.requestTimeout = timeout
    settings.credentials = credentials
    return try withClient(settings) { try body($0, member) }
}
