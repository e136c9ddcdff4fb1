import Addresses
import Glibc
import Testing

/// A server's own network namespace, behind the test's: 10.91.2.2 and fd91:2::2, there .1 and ::1 here. It counts what
/// reaches it at port 111.
struct ServerSide {
    static let address4 = "10.91.2.2"
    static let address6 = "fd91:2::2"

    let processID: String

    /// Packets to port 111 that have arrived.
    var packets: Int {
        let counter = shell("nsenter -t \(processID) -n nft list counter inet seen portmapper").text
        return counter.split(whereSeparator: \.isWhitespace).drop { $0 != "packets" }.dropFirst().first.flatMap {
            Int($0)
        } ?? -1
    }
}

/// Runs `body` on a router between a client and a server. The client's default route leads here.
///
/// - Parameter isStrict: whether the router drops packets that claim a source that it wouldn't reach by that way.
func withRoutedServer(isStrict: Bool = true, _ body: (TestClient, ServerSide) throws -> Void) throws {
    try withClient { client in
        let spawned = shell("unshare -n sleep 60 > /dev/null 2>&1 & echo $!; sleep 0.05")
        let server = ServerSide(processID: spawned.text.filter(\.isNumber))
        defer { _ = shell("kill \(server.processID)") }
        try run(
            """
            set -e
            ip link add behind type veth peer name eth0 netns \(server.processID)
            ip addr add 10.91.2.1/24 dev behind; ip addr add fd91:2::1/64 dev behind nodad; ip link set behind up
            nsenter -t \(server.processID) -n sh -ec '
            ip link set lo up
            ip addr add \(ServerSide.address4)/24 dev eth0; ip addr add \(ServerSide.address6)/64 dev eth0 nodad
            ip link set eth0 up; ip route add default via 10.91.2.1; ip route add default via fd91:2::1
            nft -f -' <<'END'
            table inet seen {
                counter portmapper { }
                chain input {
                    type filter hook prerouting priority raw; policy accept;
                    meta l4proto { tcp, udp } th dport 111 counter name portmapper
                }
            }
            END
            nsenter -t \(client.processID) -n sh -ec '
            ip link set lo up; ip route add default via 192.0.2.1; ip route add default via 2001:db8::1
            sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.client.route_localnet=1'
            sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            filter=\(isStrict ? 1 : 0)
            for i in all server behind; do
                sysctl -qw net.ipv4.conf.$i.rp_filter=$filter net.ipv4.conf.$i.src_valid_mark=$filter \
                net.ipv4.conf.$i.accept_local=$((1 - filter)) net.ipv4.conf.$i.route_localnet=$((1 - filter))
            done
            """)
        try body(client, server)
    }
}
