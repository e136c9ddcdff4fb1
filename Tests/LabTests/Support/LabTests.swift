import Foundation
import Testing

/// End-to-end tests of rpcwarden: real daemon, real rpcbind, real services and clients, the kernel's own nftables.
///
/// The tests need root, and RPCWARDEN_LAB=1. One lab runs at a time: labs share two cores, and some tests depend
/// on time-outs.
@Suite("Lab", .serialized, .enabled(if: isLabWanted, "needs root and RPCWARDEN_LAB=1"))
enum LabTests {}

private let isLabWanted = geteuid() == 0 && ProcessInfo.processInfo.environment["RPCWARDEN_LAB"] == "1"

/// A lab for a suite or a test: built before it, and removed after it in every case.
struct LabTrait: SuiteTrait, TestTrait, TestScoping {
    enum Service: String {
        case rpcbind
        case ganesha
        case statd
        case daemon
        /// A server behind the server.
        case filer
        case filerRpcbind = "filer rpcbind"
        case filerGanesha = "filer ganesha"
        case filerStatd = "filer statd"
    }

    var services: [Service]
    var settings: String
    var policy: String

    func provideScope(
        for test: Test, testCase: Test.Case?, performing body: @Sendable () async throws -> Void
    ) async throws {
        let lab = try Lab()
        defer { lab.down() }
        for service in services {
            switch service {
            case .rpcbind, .ganesha, .statd, .filerRpcbind, .filerGanesha, .filerStatd:
                try lab.control(service.rawValue.split(separator: " ").map(String.init) + ["start"])
            case .filer: try lab.control("filer")
            case .daemon: try await lab.serve(settings, policy: policy)
            }
        }
        try await Lab.$ofThisTest.withValue(lab) { try await body() }
    }
}

extension Trait where Self == LabTrait {
    /// The services start in the given order.
    static func lab(
        _ services: LabTrait.Service..., settings: String = "", policy: String = Policies.standard
    ) -> LabTrait {
        LabTrait(services: services, settings: settings, policy: policy)
    }
}

enum Policies {
    /// The approved client may mount and list, the limited client may use quota, the stranger has no rule.
    static let standard = """
        clients:
          approved: [10.77.1.0/24, 10.77.2.0/24, 10.78.0.0/16, "fd77:1::/64", "fd77:2::/64", "fd78::/48"]
          limited: [10.77.3.2, "fd77:3::2"]
        programs:
          nfsv3: [mountd, nfs, nlockmgr, status, rquotad]
        rules:
          - name: approved clients mount
            from: [approved]
            to: [nfsv3]
            list: true
          - name: the limited client asks for quotas
            from: [limited]
            to: [rquotad]
            list: true
        """

    /// The approved client may use the test's own programs, opened as `open` says.
    static func echoes(open: String = "on-lookup") -> String {
        """
        clients:
          approved: [10.77.1.0/24, 10.77.2.0/24, 10.78.0.0/16, "fd77:1::/64", "fd77:2::/64", "fd78::/48"]
        rules:
          - name: approved clients use the echoes
            from: [approved]
            to: [\(Echo.programs.map(String.init).joined(separator: ", "))]
            list: true
            open: \(open)
        """
    }
}
