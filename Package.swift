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

/// The folders show the floors. Whoever stands on one imports what is below; Tests/ArchitectureTests holds the arrows.
func on(_ floor: String, _ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(floor)/\(name)", swiftSettings: strict)
}

/// Pure, and everybody's words.
func ground(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target { on("Ground", name, dependencies) }

/// Pure: the standard library only.
func core(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target { on("Core", name, dependencies) }

/// Touches one outside thing; shells never import each other.
func shell(_ name: String, _ dependencies: [Target.Dependency]) -> Target { on("Shells", name, dependencies) }

/// The C part of a shell.
func shim(_ name: String, linking libraries: [String] = []) -> Target {
    .target(name: name, path: "Sources/Shells/\(name)", linkerSettings: libraries.map { .linkedLibrary($0) })
}

/// Golden files are found through #filePath.
func tests(
    _ name: String, _ dependencies: [Target.Dependency], on floor: String? = nil, exclude: [String] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: ["Tests", floor, name].compactMap { $0 }.joined(separator: "/"),
        exclude: exclude, swiftSettings: strict)
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
        ground("ONCRPC"),
        ground("Portmapper", ["ONCRPC"]),
        core("Policy", ["Portmapper"]),
        core("Firewall", ["Portmapper"]),
        core("HostPosture", ["Portmapper"]),
        core("Activity"),
        core("Warden", ["ONCRPC", "Portmapper", "Policy", "Firewall"]),
        core("PolicyDrafts", ["Portmapper", "Policy", "Warden"]),
        core("Privilege", ["ONCRPC", "Portmapper", "Policy", "Firewall", "Warden"]),

        // libyaml is linked statically: the package depends on libc, libmnl and libnftnl only.
        shim("CYAML", linking: [":libyaml.a"]),
        shim("CNetfilter", linking: ["nftnl", "mnl"]),
        shim("CPortmapServer"),
        shim("CHostNames", linking: ["resolv"]),
        shell("PolicyFile", ["Policy", "Portmapper", "Firewall", "Warden", "CYAML"]),
        shell("HostNames", ["Portmapper", "CHostNames"]),
        shell("PortmapServer", ["ONCRPC", "Portmapper", "Warden", "CPortmapServer"] + nio),
        shell("RpcbindClient", ["ONCRPC", "Portmapper", "Warden"] + nio),
        shell("Netfilter", ["Firewall", "Portmapper", "CNetfilter"]),
        shim("CSandbox"),
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
            path: "Sources/Commands", swiftSettings: strict
        ),

        // Test tool: asks one call from inside a namespace; built on the pure codec, never shipped.
        .executableTarget(
            name: "labpeer", dependencies: ["ONCRPC", "Portmapper"], path: "Tests/labpeer", swiftSettings: strict),

        tests("ONCRPCTests", ["ONCRPC"], on: "Ground"),
        tests("ActivityTests", ["Activity"], on: "Core"),
        tests("PortmapperTests", ["ONCRPC", "Portmapper"], on: "Ground", exclude: ["Golden"]),
        tests("PolicyTests", ["Policy", "Portmapper"], on: "Core"),
        tests("WardenTests", ["Warden", "ONCRPC", "Portmapper", "Policy", "Firewall"], on: "Core"),
        tests("PrivilegeTests", ["Privilege", "ONCRPC", "Portmapper", "Policy", "Firewall", "Warden"], on: "Core"),
        tests("SandboxTests", ["Sandbox"], on: "Shells"),
        tests("PolicyFileTests", ["PolicyFile", "Policy", "Portmapper", "Warden"], on: "Shells"),
        tests(
            "NetfilterTests",
            ["Netfilter", "Firewall", "Portmapper", "PolicyFile", "Privilege", "Sandbox", "Daemon"], on: "Shells", exclude: ["Golden"]
        ),
        tests(
            "DaemonTests", ["Daemon", "Firewall", "Policy", "Portmapper", "Privilege", "Sandbox", "Warden"] + nio),
        tests("PolicyDraftsTests", ["PolicyDrafts", "PolicyFile", "Policy", "Portmapper", "Warden"], on: "Core"),
        tests(
            "ShellTests",
            [
                "ONCRPC", "Portmapper", "Activity", "Warden", "AuditLog", "Control", "PortmapServer", "RpcbindClient",
                "Metrics", "Firewall",
            ] + nio, on: "Shells"),
        tests("HostPostureTests", ["HostPosture", "HostSurvey", "PolicyFile", "Portmapper"], on: "Core"),
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
