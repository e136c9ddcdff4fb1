import Addresses
import Foundation
import Portmapper
import Testing

/// The files of contrib/, as an administrator installs them.
enum Contrib {
    static let folder = Lab.path("contrib")

    static func text(_ path: String) throws -> String {
        try String(contentsOfFile: "\(folder)/\(path)", encoding: .utf8)
    }

    static func isInstalled(_ command: String) -> Bool {
        ["/usr/bin", "/usr/sbin"].contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(command)") }
    }

    /// Replaces the paths in the files by those of the lab.
    static func inLab(_ lab: Lab, _ text: String) -> String {
        text.replacing("/var/log/rpcwarden/audit.jsonl", with: "\(lab.state)/audit.jsonl")
            .replacing("-x /usr/sbin/rpcwarden", with: "-x \(lab.binary)")
            .replacing("/usr/sbin/rpcwarden reload", with: "\(lab.binary) reload --config \(lab.configuration)")
    }
}

extension Lab {
    /// Causes denials of every kind, over TCP and UDP, for a stranger and for clients named by rules; including
    /// text that imitates the denial of another client.
    func makeDenials() async throws {
        let lookup = PortmapperCall.getPort(Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0))
        let remote = PortmapperCall.callIt(.v2, RemoteCall(program: .mountd, version: 3, procedure: 0))
        for _ in 0..<6 { _ = try ask(.stranger, lookup, to: "10.77.4.1", over: .tcp) }
        for transport in [Transport.tcp, .udp] {
            _ = try ask(.stranger, .dump(.v4), to: "fd77:4::1", over: transport, options: "--wait 100")
            _ = try ask(.stranger, remote, to: "10.77.4.1", over: transport, options: "--wait 100")
            _ = try ask(.approved, remote, over: transport, options: "--wait 100")
            _ = try ask(.approved, .set(.v4, Self.posing), over: transport, options: "--wait 100")
            _ = try ask(.limited, lookup, to: "10.77.3.1", over: transport, options: "--wait 100")
            _ = try ask(.limited, .getTime(.v4), to: "10.77.3.1", over: transport, options: "--wait 100")
        }
        _ = try ask(.stranger, lookup, to: "10.77.4.1", over: .udp, options: "--wait 100")
    }

    static let asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

    private static let posing = RPCB(
        program: Program(0x2000_0055), version: 1, netID: "tcp",
        address: #"1","event":"denied","client":"10.77.1.2","port":1,"transport":"tcp","reason":"stranger"}"#,
        owner: "x")
}
