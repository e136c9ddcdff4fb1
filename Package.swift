// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
    // The layers are modules, and a call passes through five of them.
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]

/// Pure: the standard library only; the arrows are held by Tests/ArchitectureTests.
func pure(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// Touches one outside thing; shells never import each other.
func shell(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// Golden files are found through #filePath.
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "rpcwarden",
    products: [
        .executable(name: "rpcwarden", targets: ["rpcwarden"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        pure("ONCRPC"),
        pure("Portmapper", ["ONCRPC"]),
        pure("Policy", ["Portmapper"]),
        pure("Firewall", ["Portmapper"]),
        pure("HostPosture", ["Portmapper"]),
        pure("Activity"),
        pure("Warden", ["ONCRPC", "Portmapper", "Policy", "Firewall"]),
        pure("PolicyDrafts", ["Portmapper", "Policy", "Warden"]),
        pure("Privilege", ["ONCRPC", "Portmapper", "Policy", "Firewall", "Warden"]),

        // libyaml is linked statically: the package depends on libc, libmnl and libnftnl only.
        .target(name: "CYAML", linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .target(name: "CNetfilter", linkerSettings: [.linkedLibrary("nftnl"), .linkedLibrary("mnl")]),
        .target(name: "CPortmapServer"),
        .target(name: "CHostNames", linkerSettings: [.linkedLibrary("resolv")]),
        shell("PolicyFile", ["Policy", "Portmapper", "Firewall", "Warden", "CYAML"]),
        shell("HostNames", ["Portmapper", "CHostNames"]),
        shell("PortmapServer", ["ONCRPC", "Portmapper", "Warden", "CPortmapServer"] + nio),
        shell("RpcbindClient", ["ONCRPC", "Portmapper", "Warden"] + nio),
        shell("Netfilter", ["Firewall", "Portmapper", "CNetfilter"]),
        .target(name: "CSandbox"),
        shell("Sandbox", ["CSandbox"]),
        shell("AuditLog", ["Warden", "Portmapper"]),
        shell("Control", ["Activity"] + nio),
        shell("HostSurvey", ["HostPosture", "ONCRPC", "Portmapper"]),
        shell("Metrics", ["Warden", "Portmapper", "Firewall"] + nio),
        .target(
            name: "Daemon",
            dependencies: [
                "ONCRPC", "Portmapper", "Policy", "Firewall", "Activity", "Warden", "Privilege",
                "PolicyFile", "HostNames", "PortmapServer", "RpcbindClient", "Netfilter", "Sandbox", "AuditLog",
                "Control", "Metrics",
            ] + nio,
            swiftSettings: strict
        ),
        .executableTarget(
            name: "rpcwarden",
            dependencies: [
                "Portmapper", "Policy", "Warden", "PolicyDrafts", "PolicyFile", "Control", "Daemon", "HostPosture",
                "HostSurvey", "Activity",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),

        // Test tool: asks one call from inside a namespace; built on the pure codec, never shipped.
        .executableTarget(
            name: "labpeer", dependencies: ["ONCRPC", "Portmapper"], path: "Tests/labpeer", swiftSettings: strict),

        tests("ONCRPCTests", ["ONCRPC"]),
        tests("ActivityTests", ["Activity"]),
        tests("PortmapperTests", ["ONCRPC", "Portmapper"], exclude: ["Golden"]),
        tests("PolicyTests", ["Policy", "Portmapper"]),
        tests("WardenTests", ["Warden", "ONCRPC", "Portmapper", "Policy", "Firewall"]),
        tests("PrivilegeTests", ["Privilege", "ONCRPC", "Portmapper", "Policy", "Firewall", "Warden"]),
        tests("SandboxTests", ["Sandbox"]),
        tests("PolicyFileTests", ["PolicyFile", "Policy", "Portmapper", "Warden"]),
        tests(
            "NetfilterTests",
            ["Netfilter", "Firewall", "Portmapper", "PolicyFile", "Privilege", "Sandbox", "Daemon"], exclude: ["Golden"]
        ),
        tests(
            "DaemonTests", ["Daemon", "Firewall", "Policy", "Portmapper", "Privilege", "Sandbox", "Warden"] + nio),
        tests("PolicyDraftsTests", ["PolicyDrafts", "PolicyFile", "Policy", "Portmapper", "Warden"]),
        tests(
            "ShellTests",
            [
                "ONCRPC", "Portmapper", "Activity", "Warden", "AuditLog", "Control", "PortmapServer", "RpcbindClient",
                "Metrics", "Firewall",
            ] + nio),
        tests("HostPostureTests", ["HostPosture", "HostSurvey", "PolicyFile", "Portmapper"]),
        tests("ArchitectureTests", []),
        tests(
            "ReferenceTests",
            [
                "PolicyFile", "PolicyDrafts", "HostPosture", "AuditLog", "Control", "Warden", "Firewall", "Portmapper",
                "Policy",
            ],
            exclude: ["validate.py", "typing.py"]),
        tests("LabTests", ["ONCRPC", "Portmapper"]),
    ]
)
