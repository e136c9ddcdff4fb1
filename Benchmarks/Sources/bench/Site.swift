import Addresses
import Foundation

/// A server in a separate lab, with its services: rpcbind on port 111, or rpcwarden in front of it.
struct Site {
    let bench: Bench
    let lab: Lab
    let isGuarded: Bool
    let services: [Service]
    /// Programs of real servers, in addition to those of the services.
    var morePrograms: [Program] = []

    static let echoPort = 9000
    static let relayPort = 9001

    /// A site where rpcbind is called directly; the echo is in the same server.
    static func plain(_ bench: Bench, services: [Service] = Service.list(20)) throws -> Site {
        let site = Site(bench: bench, lab: bench.lab("plain"), isGuarded: false, services: services)
        try site.begin()
        try site.startEcho()
        return site
    }

    func startEcho() throws {
        try lab.spawn(
            "echo", ["\(bench.tools)/load", "echo", "--to", "0.0.0.0", "--port", "\(Self.echoPort)"])
        try bench.settle([try lab.pid("echo")])
    }

    func startRelay() throws {
        try lab.spawn(
            "relay",
            [
                "\(bench.tools)/load", "relay", "--to", "0.0.0.0", "--port", "\(Self.relayPort)", "--socket",
                "/run/rpcbind.sock",
            ])
        try bench.settle([try lab.pid("relay")])
    }

    static func guarded(
        _ bench: Bench, services: [Service] = Service.list(20), morePrograms: [Program] = [],
        _ setting: Setting = Setting()
    ) throws -> Site {
        let site = Site(
            bench: bench, lab: bench.lab("warden"), isGuarded: true, services: services, morePrograms: morePrograms)
        try site.begin()
        try site.serve(setting)
        return site
    }

    private func begin() throws {
        try lab.control("up")
        if isGuarded { try lab.control("rpcbind", "start") } else { try lab.control("rpcbind", "start", "--stock") }
        try startServices()
        try bench.settle([try lab.pid("rpcbind")])
    }

    /// Starts the services' listeners, and registers the services.
    private func startServices() throws {
        try lab.write(hexadecimal(services.flatMap(\.registrations)), to: "registrations")
        let first = services.first?.port ?? Service.portsFrom
        try lab.spawn(
            "services",
            [
                "\(bench.tools)/load", "listen", "--to", "0.0.0.0", "--port", "\(first)", "--count",
                "\(services.count)", "--socket", "/run/rpcbind.sock", "--messages", "\(lab.state)/registrations",
            ])
        try lab.awaitLine("ready", of: "services")
    }

    /// Starts rpcwarden with these files. - Returns: milliseconds from its execution to READY=1.
    @discardableResult
    func serve(_ setting: Setting) throws -> Double {
        try lab.write(setting.configuration(state: lab.state), to: "rpcwarden.yaml")
        try lab.write(policy(setting), to: "policy.yaml")
        return try start()
    }

    func start() throws -> Double {
        let notice = ReadyNotice(lab.state + "/notify")
        defer { notice.close() }
        let stamp = "\(lab.state)/begun"
        try lab.spawn(
            "rpcwarden",
            bench.priority + [
                "env", "NOTIFY_SOCKET=\(notice.path)", "sh", "-c", "date +%s%N >\(stamp); exec \"$@\"", "sh",
                bench.binary, "serve", "--config", configurationPath,
            ])
        guard let ready = notice.awaitReady(), let begun = Double(contents(stamp).trimmed) else {
            throw Unfulfilled(description: "rpcwarden isn't ready: \(contents("\(lab.state)/rpcwarden.log"))")
        }
        try bench.settle(family(of: try lab.pid("rpcwarden")))
        return ready.timeIntervalSince1970 * 1000 - begun / 1e6
    }

    func policy(_ setting: Setting) -> String { setting.policy(services.map(\.program) + morePrograms) }

    var configurationPath: String { "\(lab.state)/rpcwarden.yaml" }

    func stop() throws { try lab.control("kill", "rpcwarden") }

    @discardableResult
    func rpcwarden(_ words: String...) throws -> String {
        try lab.serverRuns([bench.binary] + words + ["--config", configurationPath])
    }

    func counts() throws -> [String: Int] {
        struct Status: Decodable { var counts: [String: Int] }
        let text = try rpcwarden("status", "--json")
        return try JSONDecoder().decode(Status.self, from: Data(text.utf8)).counts
    }

    func end() throws { try lab.control("down") }

    /// The processes that do the work of an answer.
    func workers() throws -> [Int32] {
        try isGuarded ? family(of: lab.pid("rpcwarden")) + [lab.pid("rpcbind")] : [lab.pid("rpcbind")]
    }
}

/// The parts of rpcwarden's configuration and policy that differ between benchmarks.
struct Setting {
    var strangersPerSecond = 0
    /// The number of additional prefixes, which contain none of the benchmark's clients.
    var morePrefixes = 0
    /// The number of these prefixes that are replaced by others.
    var otherPrefixes = 0
    var areStanding = false
    var more = ""
    /// The server behind the gateway that the rules are about; `nil`: this host.
    var at: String?

    func configuration(state: String) -> String {
        """
        policy: policy.yaml
        audit: {to: file, file: \(state)/audit.jsonl}
        quarantine: false
        # A quarter of the grants is for calls over TCP; the rest is 65,538.
        limits: {calls-per-second: 1000000, strangers-per-second: \(strangersPerSecond), grants: 87384}
        \(more)

        """
    }

    func policy(_ programs: [Program]) -> String {
        let numbers = programs.map { "\($0.rawValue)" }.joined(separator: ", ")
        let prefixes = (otherPrefixes..<otherPrefixes + morePrefixes).map {
            "172.\(16 + $0 / 8192).\($0 / 32 % 256).\($0 % 32 * 8)/30"
        }
        let list = prefixes.joined(separator: ", ")
        let open = areStanding ? "always" : "on-lookup"
        return """
            rules:
              - name: clients
                from: [10.77.1.0/24, 10.77.2.0/24, 10.78.0.0/16, "fd77:1::/64", "fd77:2::/64", "fd78::/48"]
                to: [\(numbers)]
                list: true
            \(at.map { "    at: [\($0)]" } ?? "")
            \(prefixes.isEmpty ? "" : "  - {name: many, from: [\(list)], to: [100003], open: \(open)}")

            """
    }
}
