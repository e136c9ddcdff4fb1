// swift-tools-version: 6.1
import PackageDescription

// The sources are symbolic links to those of rpcwarden: every line is instrumented, and SwiftNIO stays out.
// scripts/fuzz adds the sanitizers.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
]

func swift(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "Fuzz",
    targets: [
        swift("ONCRPC"),
        swift("Portmapper", ["ONCRPC"]),
        swift("Policy", ["Portmapper"]),
        swift("Firewall", ["Portmapper"]),
        swift("Warden", ["ONCRPC", "Portmapper", "Policy", "Firewall"]),
        swift("PolicyDrafts", ["Portmapper", "Policy", "Warden"]),
        .target(name: "CYAML", linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .target(name: "CNetfilter", linkerSettings: [.linkedLibrary("nftnl"), .linkedLibrary("mnl")]),
        swift("PolicyFile", ["Policy", "Portmapper", "Firewall", "Warden", "CYAML"]),
        swift("Netfilter", ["Firewall", "Portmapper", "CNetfilter"]),
        // What it leaves out needs SwiftNIO.
        swift("Activity"),
        swift("Control", ["Activity"], exclude: ["ControlClient.swift", "ControlServer.swift"]),
        swift("Metrics", ["Warden", "Portmapper", "Firewall"], exclude: ["MetricsServer.swift"]),

        .target(name: "Allocations"),
        swift(
            "FuzzTargets",
            [
                "ONCRPC", "Portmapper", "Policy", "Firewall", "Warden", "PolicyDrafts", "PolicyFile", "Netfilter",
                "Control", "Metrics", "Allocations",
            ]),
        .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"]),
    ]
)
