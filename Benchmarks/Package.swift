// swift-tools-version: 6.1
import PackageDescription

// The pure sources are symbolic links to the floors of rpcwarden: what is measured is what runs, and SwiftNIO stays out.
// scripts/bench builds and runs it.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
    // As rpcwarden itself is built.
    .unsafeFlags(
        ["-cross-module-optimization", "-Xllvm", "-sil-disable-pass=object-outliner"], .when(configuration: .release)),
]

func on(_ floor: String, _ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(floor)/\(name)", swiftSettings: strict)
}

let package = Package(
    name: "Benchmarks",
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
        on("Core", "JSON"),
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
        on("Core", "Privilege", ["Addresses", "ONCRPC", "Policy", "Firewall", "Configuration"]),

        // Calls and echoes, as fast as C can.
        .executableTarget(name: "load", cSettings: [.unsafeFlags(["-O2"])]),
        // Counts what malloc is asked for.
        .target(name: "Allocations"),
        .executableTarget(
            name: "micro",
            dependencies: [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "Warden", "Privilege", "Allocations", "AuditTrail", "FleetRecords",
            ],
            swiftSettings: strict),
        // Ten thousand clients boot at once, in virtual time.
        .executableTarget(
            name: "storm",
            dependencies: [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "AuditTrail", "Warden",
            ],
            swiftSettings: strict),
        .executableTarget(name: "bench", dependencies: ["Addresses", "ONCRPC", "Portmapper"], swiftSettings: strict),
    ]
)
