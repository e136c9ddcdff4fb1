import Addresses
import Clock
import Configuration
import Glibc
import NIOCore
import NIOPosix
import Portmapper
import System

/// How a portmapper is reached, and what its answers may be.
public struct RpcbindAccess {
    /// The portmapper's name in messages.
    let name: String
    let timeout: Duration
    let trustedOwners: TrustedOwners
    /// DUMP is asked in version 4 first, and in no older version than this.
    let oldestVersion: PortmapperVersion
    /// After a failed attempt to connect, the next one waits for so long. Otherwise each question to a server that
    /// is down would cost an attempt.
    let pause: Duration
    let open: (any EventLoop, @escaping Initializer) throws -> EventLoopFuture<any Channel>

    typealias Initializer = @Sendable (any Channel) -> EventLoopFuture<Void>

    /// This host's rpcbind, over a stream to its unix socket, since it has no network.
    ///
    /// - Parameters:
    ///   - trustedOwners: as rpcbind shows them; of a long listing their registrations are kept first.
    ///   - connected: makes a connection to rpcbind's socket: this process can't make it.
    public static func unixSocket(
        _ settings: Settings.Rpcbind, trustedOwners: TrustedOwners,
        connected: @escaping () -> EventLoopFuture<NIOBSDSocket.Handle>
    ) -> RpcbindAccess {
        RpcbindAccess(
            name: settings.socketPath, timeout: settings.timeout, trustedOwners: trustedOwners, oldestVersion: .v4,
            pause: .zero,
            open: { loop, initializer in
                connected().flatMap {
                    ClientBootstrap(group: loop).channelInitializer(initializer).withConnectedSocket($0)
                }
            })
    }

    /// The portmapper of a server behind this host, over TCP.
    ///
    /// The kernel chooses the local port, since these questions need no privileged one. An attempt to connect ends
    /// with the timeout.
    /// - Parameters:
    ///   - name: the server's name in the configuration.
    ///   - endpoint: the portmapper's; it is used instead of the one in `settings`, which may be absent.
    public static func server(
        _ name: String, at endpoint: Settings.Endpoint, _ settings: Settings.Server.Portmapper
    ) -> RpcbindAccess {
        RpcbindAccess(
            name: "\(name) (\(endpoint))", timeout: settings.timeout,
            trustedOwners: TrustedOwners(atServer: settings.owners), oldestVersion: .v2,
            pause: .milliseconds(100),
            open: { loop, initializer in
                let bootstrap = ClientBootstrap(group: loop).channelInitializer(initializer)
                    .connectTimeout(.nanoseconds(settings.timeout.nanoseconds))
                return try connected(bootstrap, to: endpoint, from: settings.source)
            })
    }

    private static func connected(
        _ bootstrap: ClientBootstrap, to endpoint: Settings.Endpoint, from source: IPAddress?
    ) throws -> EventLoopFuture<any Channel> {
        let bound = try source.map { bootstrap.bind(to: try socketAddress($0, port: 0)) } ?? bootstrap
        return bound.connect(to: try socketAddress(endpoint.address, port: endpoint.port))
    }

    private static func socketAddress(_ address: IPAddress, port: UInt16) throws -> SocketAddress {
        try SocketAddress(packedIPAddress: ByteBuffer(bytes: address.networkBytes), port: Int(port))
    }
}

/// The reason of a failed connection in the system's words.
func connectFailure(_ error: any Error) -> String {
    switch error {
    case let error as IOError: Errno(error.errnoCode).description
    case ChannelError.connectTimeout: Errno(ETIMEDOUT).description
    case _: "\(error)"
    }
}
