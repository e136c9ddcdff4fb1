// swift-tools-version: 6.1
import PackageDescription

// The pure sources are symbolic links to those of rpcwarden: what is measured is what runs, and SwiftNIO stays out.
// scripts/bench builds and runs it.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
]

func swift(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "Benchmarks",
    targets: [
        swift("ONCRPC"),
        swift("Portmapper", ["ONCRPC"]),
        swift("Policy", ["Portmapper"]),
        swift("Firewall", ["Portmapper"]),
        swift("Warden", ["ONCRPC", "Portmapper", "Policy", "Firewall"]),
        swift("Privilege", ["ONCRPC", "Portmapper", "Policy", "Firewall", "Warden"]),

        // Calls and echoes, as fast as C can.
        .executableTarget(name: "load", cSettings: [.unsafeFlags(["-O2"])]),
        // Counts what malloc is asked for.
        .target(name: "Allocations"),
        .executableTarget(
            name: "micro",
            dependencies: ["ONCRPC", "Portmapper", "Policy", "Firewall", "Warden", "Privilege", "Allocations"],
            swiftSettings: strict),
        // Ten thousand clients boot at once, in virtual time.
        .executableTarget(
            name: "storm", dependencies: ["ONCRPC", "Portmapper", "Policy", "Firewall", "Warden"],
            swiftSettings: strict),
        .executableTarget(name: "bench", dependencies: ["ONCRPC", "Portmapper"], swiftSettings: strict),
    ]
)
