import Addresses
import Foundation
import Portmapper
import Testing

/// The server behind the lab's server, which then is a gateway; rules name it `filer1`.
enum Filer {
    static let addresses = ["10.77.5.2", "fd77:5::2", "10.77.5.9", "fd77:5::9"]

    /// Settings for rpcwarden.yaml; `more` are settings of this server.
    static func settings(_ more: String = "rpcbind: {refresh: 1s}") -> String {
        """
        gateway:
          servers:
            - name: filer1
              address: [10.77.5.2, 10.77.5.9, "fd77:5::2", "fd77:5::9"]
              \(more)
        """
    }
}

extension Policies {
    /// The approved client may mount from the filer and list there, the limited client may use quota, the stranger
    /// has no rule. No rule is about the gateway itself.
    static let filer = standard.replacingOccurrences(of: "    to:", with: "    at: [filer1]\n    to:")

    /// The approved client may use the test's own programs at the filer.
    static func filerEchoes(open: String = "on-lookup") -> String {
        echoes(open: open).replacingOccurrences(of: "    to:", with: "    at: [filer1]\n    to:")
    }
}

extension Trait where Self == LabTrait {
    /// A gateway in front of a filer, without an rpcbind of its own. The filer's services start in the given order.
    static func gateway(
        _ services: LabTrait.Service..., settings: String = Filer.settings(), policy: String = Policies.filer
    ) -> LabTrait {
        LabTrait(services: [.filer] + services, settings: settings, policy: policy)
    }
}

extension Lab {
    /// Connections and flows that the gateway's kernel knows, a line for each. Its own calls to the filer count, too.
    func trackedFlows() throws -> [String] {
        let output = try exec(.server, "sh", "-c", "conntrack -L -f ipv4; conntrack -L -f ipv6")
        guard output.isSuccess else { throw CommandError(command: ["conntrack -L"], output: output) }
        return output.lines
    }

    /// Runs `body`, and returns the packets that the filter of pcap-filter(7) finds at the host's interface meanwhile, a
    /// line for each.
    func packets(at host: Host, _ filter: String, _ body: () async throws -> Void) async throws -> [String] {
        let name = "packets-\(UInt32.random)"
        let tcpdump = ["tcpdump", "-Z", "root", "-i", "eth0", "-B", "65536", "--immediate-mode", "-n", "-l"]
        try spawn(host, name, tcpdump + ["(\(filter)) or udp port 9"])
        try await eventually("tcpdump listens") { log(name).contains("listening on") }
        try await body()
        // Once a later packet is there, all earlier ones are. No host answers a datagram to a group.
        #expect(try exec(host, "bash", "-c", "echo end >/dev/udp/ff02::1%eth0/9").isSuccess)
        let lines = try await eventually("the capture is complete", within: .seconds(30)) {
            let lines = log(name).split(separator: "\n").map(String.init)
            return lines.contains { $0.contains("ff02::1.9:") } ? lines : nil
        }
        try kill(name)
        try expectNoDrops(name)
        return lines.filter { $0.contains(" IP") && !$0.contains("ff02::1.9:") }
    }
}

extension Lab {
    /// `CLIENT SERVER tcp/PORT` for each element that nft lists.
    func kernelGrants(atFiler set: String) throws -> Set<String> {
        Set(
            try elements(of: set).map { element in
                let words = element.split(separator: " ")
                return "\(words[0]) \(words[2]) \(words[4])/\(words[6])"
            })
    }

    /// The port of a service of the filer, from a lookup there: its rpcbind's answer. The name is that of rpcinfo.
    func portAtFiler(of program: String, _ netid: String) throws -> UInt16 {
        let output = try exec(.filer, "rpcinfo", seconds: 5)
        let line = output.lines.first { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            return words.count > 4 && words[2] == netid && words[4] == program
        }
        let words = try #require(line, "\(program) \(netid): \(output)").split(separator: " ")
        return try #require(UniversalAddress(String(words[3]))).port
    }
}
