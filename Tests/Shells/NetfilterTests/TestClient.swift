import Addresses
import Glibc
import Testing

/// A client's own network namespace, on a veth to the test's: 192.0.2.7, .8 and 2001:db8::7 there, .1 and ::1
/// here.
struct TestClient {
    static let server4 = "192.0.2.1"
    static let server6 = "2001:db8::1"

    let processID: String

    func connects(to port: Int) -> Bool {
        shell("nsenter -t \(processID) -n timeout 0.4 bash -c ': <>/dev/tcp/192.0.2.1/\(port)'").status == 0
    }

    func sendDatagrams(_ count: Int, to port: Int) {
        _ = shell(
            "nsenter -t \(processID) -n bash -c 'for i in $(seq \(count)); do echo > /dev/udp/192.0.2.1/\(port); done'"
        )
    }

    /// Runs `body` in the client's namespace; a socket made there stays there.
    func inside<Result>(_ body: () throws -> Result) throws -> Result {
        try inNamespace(of: processID, body)
    }

    /// A UDP or TCP socket of the client, connected or connecting to the server.
    func socket(
        to service: ServicePort, _ address: String = server4, from source: String? = nil, waits: Bool = true
    ) throws -> TestSocket {
        try inside { try TestSocket(connectedTo: service, address, fromAddress: source, waits: waits) }
    }
}

func withClient(_ body: (TestClient) throws -> Void) throws {
    try inFreshNamespace {
        let spawned = shell("unshare -n sleep 30 > /dev/null 2>&1 & echo $!; sleep 0.05")
        let client = TestClient(processID: spawned.text.filter(\.isNumber))
        defer { _ = shell("kill \(client.processID)") }
        let made = shell(
            """
            ip link add server type veth peer name client netns \(client.processID) &&
            ip addr add 192.0.2.1/24 dev server && ip addr add 2001:db8::1/64 dev server nodad &&
            ip link set server up && nsenter -t \(client.processID) -n sh -c '
            ip addr add 192.0.2.7/24 dev client && ip addr add 192.0.2.8/24 dev client &&
            ip addr add 2001:db8::7/64 dev client nodad && ip link set client up' &&
            timeout 5 nsenter -t \(client.processID) -n sh -c '
            until ip -o link show client | grep -q "state UP"; do sleep 0.01; done'
            """)
        try #require(made.status == 0, "\(made.text)")
        try body(client)
    }
}
