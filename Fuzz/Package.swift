// swift-tools-version: 6.1
import PackageDescription

// The sources are symbolic links to the floors of rpcwarden: every line is instrumented, and SwiftNIO stays out.
// scripts/fuzz adds the sanitizers.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
]

func on(
    _ floor: String, _ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(floor)/\(name)", exclude: exclude,
        swiftSettings: strict)
}

func shim(_ name: String, linking libraries: [String]) -> Target {
    .target(name: name, path: "Sources/Shells/\(name)", linkerSettings: libraries.map { .linkedLibrary($0) })
}

let package = Package(
    name: "Fuzz",
    targets: [
        on("Ground", "ONCRPC"),
        on("Ground", "Portmapper", ["ONCRPC"]),
        on("Core", "Policy", ["Portmapper"]),
        on("Core", "Firewall", ["Portmapper"]),
        on("Core", "Warden", ["ONCRPC", "Portmapper", "Policy", "Firewall"]),
        on("Core", "PolicyDrafts", ["Portmapper", "Policy", "Warden"]),
        shim("CYAML", linking: [":libyaml.a"]),
        shim("CNetfilter", linking: ["nftnl", "mnl"]),
        on("Shells", "PolicyFile", ["Policy", "Portmapper", "Firewall", "Warden", "CYAML"]),
        on("Shells", "Netfilter", ["Firewall", "Portmapper", "CNetfilter"]),
        // What it leaves out needs SwiftNIO.
        on("Core", "Activity"),
        on("Shells", "Control", ["Activity"], exclude: ["ControlClient.swift", "ControlServer.swift"]),
        on("Shells", "Metrics", ["Warden", "Portmapper", "Firewall"], exclude: ["MetricsServer.swift"]),

        .target(name: "Allocations"),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "ONCRPC", "Portmapper", "Policy", "Firewall", "Warden", "PolicyDrafts", "PolicyFile", "Netfilter",
                "Control", "Metrics", "Allocations",
            ],
            swiftSettings: strict),
        .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"]),
    ]
)
