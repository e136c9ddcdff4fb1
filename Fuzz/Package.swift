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
        on("Ground", "Addresses"),
        on("Ground", "Clock"),
        on("Ground", "ONCRPC"),
        on("Ground", "Portmapper", ["Addresses", "ONCRPC"]),
        on("Core", "Policy", ["Addresses"]),
        on("Core", "Firewall", ["Addresses"]),
        on("Core", "Configuration", ["Addresses", "Firewall"]),
        on("Core", "Calls", ["Addresses", "ONCRPC", "Portmapper"]),
        on("Core", "AuditTrail", ["Addresses", "Clock", "Portmapper"]),
        on(
            "Core", "Exchanges",
            ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Calls", "AuditTrail"]),
        on("Core", "Upstream", ["Addresses", "Clock", "Portmapper", "Policy", "Firewall", "Calls", "AuditTrail"]),
        on("Core", "Bundles", ["Addresses", "Clock", "Policy"]),
        on("Core", "FleetRecords", ["Addresses", "Bundles", "Clock", "JSON"]),
        on("Core", "Sharing", ["Addresses", "Clock", "Firewall", "Configuration", "FleetRecords"]),
        on("Core", "Gate", ["Addresses", "Clock", "Policy", "Firewall", "Configuration", "AuditTrail"]),
        on(
            "Core", "Watch",
            ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail"]),
        on(
            "Core", "Journal",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail",
            ]),
        on(
            "Core", "Warden",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "AuditTrail", "FleetRecords", "Exchanges", "Upstream", "Gate", "Sharing", "Watch", "Journal",
            ]),
        on("Core", "PolicyDrafts", ["Addresses", "Clock", "Policy", "AuditTrail"]),
        shim("CYAML", linking: [":libyaml.a"]),
        shim("CNetfilter", linking: ["nftnl", "mnl"]),
        on("Shells", "System", ["Clock"]),
        shim("CSodium", linking: [":libsodium.a"]),
        on("Shells", "Signatures", ["CSodium"]),
        on(
            "Shells", "PolicyFile",
            ["Addresses", "Clock", "Policy", "Firewall", "Configuration", "Bundles", "System", "Signatures", "CYAML"]),
        on("Shells", "Netfilter", ["Addresses", "Portmapper", "Firewall", "CNetfilter"]),
        // What it leaves out needs SwiftNIO.
        on("Core", "Activity"),
        on("Shells", "Control", ["Activity", "System"], exclude: ["ControlClient.swift", "ControlServer.swift"]),
        on(
            "Shells", "Metrics", ["Addresses", "Clock", "Bundles", "Firewall", "AuditTrail"],
            exclude: ["MetricsServer.swift"]),

        on("Core", "JSON"),
        on("Core", "Probes", ["Addresses", "ONCRPC", "Portmapper"]),
        on("Core", "HostPosture", ["Addresses", "Portmapper", "Firewall"]),
        on("Core", "Reports", ["Addresses", "Clock", "Policy", "AuditTrail", "HostPosture", "Activity", "JSON"]),

        .target(name: "Allocations"),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "Gate", "Warden", "PolicyDrafts", "Bundles", "Signatures", "PolicyFile", "Netfilter", "Control",
                "Metrics", "JSON", "FleetRecords", "Probes", "Reports", "Allocations",
            ],
            swiftSettings: strict),
        .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"]),
    ]
)
