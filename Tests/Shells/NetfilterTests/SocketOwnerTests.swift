import Addresses
import Glibc
import Portmapper
import Testing

@testable import Netfilter

// sys/fsuid.h; applies to this thread only. A new socket's owner is this uid.
@_silgen_name("setfsuid") private func setfsuid(_ uid: UInt32) -> Int32

private func asUser<Result>(_ uid: UInt32, _ body: () throws -> Result) rethrows -> Result {
    _ = setfsuid(uid)
    defer { _ = setfsuid(0) }
    return try body()
}

extension KernelTests {
    @Suite struct SocketOwnerTests {
        private static let port: UInt16 = 4111
        static let places = ["127.0.0.1", "::1", "192.0.2.1", "::ffff:127.0.0.1"]
        static let users: [UInt32] = [0, 1000, 65_534]

        private func address(_ text: String, _ port: UInt16) throws -> UniversalAddress {
            UniversalAddress(host: try #require(IPAddress(text)), port: port)
        }

        @Test("names the user at the other end of a connection, also when that end is shut", arguments: places, users)
        func tcp(place: String, uid: UInt32) throws {
            try inFreshNamespace {
                _ = shell("ip addr add 192.0.2.1/24 dev lo")
                let server = try TestSocket(ServicePort(.tcp, Self.port), "::")
                defer { withExtendedLifetime(server) {} }
                let owners = try SocketOwners()
                let connected = { try TestSocket(connectedTo: ServicePort(.tcp, Self.port), place) }
                let client = try asUser(uid, connected)
                let (source, destination) = (try address(place, client.port), try address(place, Self.port))
                #expect(try owners.owner(of: .tcp, from: source, to: destination) == uid)
                // No socket has source port 1, and no socket has the other destination port.
                #expect(try owners.owner(of: .tcp, from: try address(place, 1), to: destination) == nil)
                #expect(try owners.owner(of: .tcp, from: source, to: try address(place, 4112)) == nil)
                shutdown(client.descriptor, Int32(SHUT_WR))
                #expect(try owners.owner(of: .tcp, from: source, to: destination) == uid)
            }
        }

        @Test("names nobody for a connection that its user has closed: the kernel shows those as root's")
        func closed() throws {
            try inFreshNamespace {
                let server = try TestSocket(ServicePort(.tcp, Self.port), "::")
                defer { withExtendedLifetime(server) {} }
                var client: TestSocket? = try asUser(65_534) {
                    try TestSocket(connectedTo: ServicePort(.tcp, Self.port), "127.0.0.1")
                }
                let source = try address("127.0.0.1", try #require(client).port)
                let destination = try address("127.0.0.1", Self.port)
                let owners = try SocketOwners()
                #expect(try owners.owner(of: .tcp, from: source, to: destination) == 65_534)
                client = nil
                #expect(try owners.owner(of: .tcp, from: source, to: destination) == nil)
            }
        }

        @Test("takes no listener for the client: 111 itself is root's")
        func listener() throws {
            try inFreshNamespace {
                let server = try TestSocket(ServicePort(.tcp, Self.port), "::")
                defer { withExtendedLifetime(server) {} }
                let place = try address("127.0.0.1", Self.port)
                #expect(try SocketOwners().owner(of: .tcp, from: place, to: place) == nil)
            }
        }

        @Test("names the user of a datagram's port, connected or not", arguments: places, users)
        func udp(place: String, uid: UInt32) throws {
            try inFreshNamespace {
                _ = shell("ip addr add 192.0.2.1/24 dev lo")
                let server = try TestSocket(ServicePort(.udp, Self.port), "::")
                defer { withExtendedLifetime(server) {} }
                let owners = try SocketOwners()
                let destination = try address(place, Self.port)
                let connected = try asUser(uid) { try TestSocket(connectedTo: ServicePort(.udp, Self.port), place) }
                #expect(
                    try owners.owner(of: .udp, from: try address(place, connected.port), to: destination) == uid)
                let bound = try asUser(uid) {
                    try TestSocket(ServicePort(.udp, 4200), place.contains(":") ? "::" : "0.0.0.0")
                }
                defer { withExtendedLifetime(bound) {} }
                let owner = try owners.owner(of: .udp, from: try address(place, 4200), to: destination)
                #expect(owner == (uid == 0 ? nil : uid))
                #expect(try owners.owner(of: .udp, from: try address(place, 4201), to: destination) == nil)
            }
        }

        @Test("a sender that closed its socket is not root, though a socket of root's is left at its port")
        func closedSender() throws {
            try inFreshNamespace {
                let owners = try SocketOwners()
                let (unprivileged, privileged) = (try address("127.0.0.1", 4200), try address("127.0.0.1", 700))
                let destination = try address("127.0.0.1", Self.port)
                let sockets = [
                    try TestSocket(ServicePort(.udp, Self.port), "127.0.0.1"),
                    try TestSocket(ServicePort(.udp, 4200), "0.0.0.0"),
                    try TestSocket(ServicePort(.udp, 700), "0.0.0.0"),
                ]
                defer { withExtendedLifetime(sockets) {} }
                var sender: TestSocket? = try asUser(65_534) { try TestSocket(ServicePort(.udp, 4200), "127.0.0.1") }
                #expect(try owners.owner(of: .udp, from: unprivileged, to: destination) == 65_534)
                withExtendedLifetime(sender) {}
                sender = nil
                #expect(try owners.owner(of: .udp, from: unprivileged, to: destination) == nil)
                #expect(try owners.owner(of: .udp, from: privileged, to: destination) == 0)
            }
        }

        @Test(
            "of a port that others share with root, root's word is nobody's", arguments: [[0, 65_534], [65_534, 0]])
        func sharedPort(users: [UInt32]) throws {
            try inFreshNamespace {
                let owners = try SocketOwners()
                let (source, destination) = (try address("127.0.0.1", 4200), try address("127.0.0.1", Self.port))
                for other in ["127.0.0.1", "0.0.0.0", "::", "::1", "127.0.0.2"] {
                    let places = users[0] == 0 ? ["0.0.0.0", other] : [other, "0.0.0.0"]
                    let sockets = try zip(users, places).map { uid, place in
                        try asUser(uid) { try TestSocket(ServicePort(.udp, 4200), place, v6Only: place == "::") }
                    }
                    defer { withExtendedLifetime(sockets) {} }
                    #expect(try owners.owner(of: .udp, from: source, to: destination) != 0, "\(places)")
                }
            }
        }
    }
}
