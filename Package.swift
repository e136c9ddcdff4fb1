// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .unsafeFlags(["-warnings-as-errors"]),
    // The layers are modules, and a call passes through five of them. Swift 6.3.1 then makes statics of a function's
    // constant arrays in each module that uses it, by the same names in any order, and the linker takes one for another:
    // without the pass there are none. No path of a call has such an array (`micro`: as many allocations).
    .unsafeFlags(
        ["-cross-module-optimization", "-Xllvm", "-sil-disable-pass=object-outliner"], .when(configuration: .release)),
]

/// For what no call passes through: size counts.
let small = strict + [.unsafeFlags(["-Osize"], .when(configuration: .release))]
let seldomRun: Set<String> = [
    "Activity", "Bundles", "Configuration", "Console", "Control", "FleetRecords", "HostNames", "HostPosture",
    "HostSurvey", "Liveness", "Metrics", "PolicyDrafts", "PolicyFile", "Privilege", "Probes", "Reports", "Sandbox",
    "Sharing", "Signatures", "System",
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]

/// The folders show the floors. Whoever stands on one imports what is below; Tests/ArchitectureTests holds the arrows.
func on(_ floor: String, _ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(floor)/\(name)",
        swiftSettings: seldomRun.contains(name) ? small : strict)
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
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        ground("Addresses"),
        ground("Clock"),
        ground("ONCRPC"),
        ground("Portmapper", ["Addresses", "ONCRPC"]),
        core("Policy", ["Addresses"]),
        core("Firewall", ["Addresses"]),
        core("Configuration", ["Addresses", "Firewall"]),
        core("Calls", ["Addresses", "ONCRPC", "Portmapper"]),
        core("AuditTrail", ["Addresses", "Clock", "Portmapper"]),
        core("HostPosture", ["Addresses", "Portmapper", "Firewall"]),
        core("Activity"),
        core("Probes", ["Addresses", "ONCRPC", "Portmapper"]),
        core(
            "Journal",
            ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail"]),
        core(
            "Watch", ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail"]),
        core("Upstream", ["Addresses", "Clock", "Portmapper", "Policy", "Firewall", "Calls", "AuditTrail"]),
        core("Exchanges", ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Calls", "AuditTrail"]),
        core("Bundles", ["Addresses", "Clock", "Policy"]),
        core("FleetRecords", ["Addresses", "Bundles", "Clock", "JSON"]),
        core("Sharing", ["Addresses", "Clock", "Firewall", "Configuration", "FleetRecords"]),
        core("Gate", ["Addresses", "Clock", "Policy", "Firewall", "Configuration", "AuditTrail"]),
        core(
            "Warden",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "AuditTrail", "FleetRecords", "Journal", "Watch", "Upstream", "Exchanges", "Gate", "Sharing",
            ]),
        core("PolicyDrafts", ["Addresses", "Clock", "Policy", "AuditTrail"]),
        core("Privilege", ["Addresses", "ONCRPC", "Policy", "Firewall", "Configuration"]),
        core("Fleet", ["Addresses", "Bundles", "Clock", "FleetRecords"]),
        core("JSON"),
        core(
            "Reports",
            ["Addresses", "Clock", "Policy", "AuditTrail", "HostPosture", "Activity", "JSON"]),

        // libyaml is linked statically: the package depends on libc, libmnl and libnftnl only.
        shim("CYAML", linking: [":libyaml.a"]),
        shim("CNetfilter", linking: ["nftnl", "mnl"]),
        shim("CPortmapServer"),
        shim("CHostNames", linking: ["resolv"]),
        // What the others ask of the C library, each in one way.
        shell("System", ["Clock"]),
        // Verifies what fleets sign; several shells and commands do.
        shim("CSodium", linking: [":libsodium.a"]),
        shell("Signatures", ["CSodium"]),
        shell(
            "PolicyFile",
            [
                "Addresses", "Clock", "Policy", "Firewall", "Configuration", "Bundles", "System", "Signatures", "CYAML",
            ]),
        shell("HostNames", ["Addresses", "CHostNames", "System"]),
        shell(
            "PortmapServer",
            ["Addresses", "ONCRPC", "Portmapper", "Configuration", "Calls", "System", "CPortmapServer"] + nio),
        shell(
            "RpcbindClient",
            ["Addresses", "Clock", "ONCRPC", "Portmapper", "Configuration", "Calls", "System"] + nio),
        shell(
            "Liveness",
            ["Addresses", "Clock", "ONCRPC", "Portmapper", "Configuration", "Calls", "Probes", "System"] + nio),
        shell("Netfilter", ["Addresses", "Portmapper", "Firewall", "CNetfilter"]),
        shim("CSandbox"),
        shell("Sandbox", ["System", "CSandbox"]),
        shell("AuditLog", ["Addresses", "Clock", "Configuration", "AuditTrail", "System"]),
        shell("Control", ["Activity", "System"] + nio),
        shell(
            "Console",
            [
                "Activity", "System", "Signatures",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        shell("HostSurvey", ["Addresses", "ONCRPC", "Portmapper", "Firewall", "HostPosture", "System"]),
        shell("Metrics", ["Addresses", "Clock", "Bundles", "Firewall", "AuditTrail", "System"] + nio),
        // Only the sidecar links this shell: the daemon has neither TLS nor HTTP of SwiftNIO.
        shell(
            "Etcd",
            [
                "JSON", "System", .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ] + nio),
        .target(
            name: "Daemon",
            dependencies: [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Bundles", "FleetRecords", "Firewall",
                "Configuration", "Calls",
                "AuditTrail", "Activity", "Upstream", "Gate", "Watch", "Warden", "Privilege", "System", "PolicyFile",
                "HostNames",
                "PortmapServer", "RpcbindClient", "Liveness", "Netfilter", "Sandbox", "AuditLog", "Control", "Metrics",
            ] + nio,
            swiftSettings: strict
        ),
        .target(
            name: "Sidecar",
            dependencies: [
                "Bundles", "Clock", "Configuration", "Fleet", "FleetRecords", "System", "Signatures", "Sandbox",
                "Control",
                "Etcd",
            ] + nio,
            swiftSettings: strict
        ),
        .executableTarget(
            name: "rpcwarden",
            dependencies: [
                "Addresses", "Clock", "Portmapper", "Policy", "Bundles", "Firewall", "Configuration",
                "HostPosture", "Activity", "PolicyDrafts", "Probes", "Reports", "System", "Signatures", "PolicyFile",
                "HostNames", "Liveness", "Control", "Console", "Daemon", "HostSurvey",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/Commands", swiftSettings: small
        ),

        .executableTarget(
            name: "rpcwarden-fleet",
            dependencies: [
                "Addresses", "Clock", "Policy", "Bundles", "Configuration", "Fleet", "FleetRecords", "System",
                "Signatures", "PolicyFile", "Control", "Console", "Etcd", "Sidecar",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ] + nio,
            path: "Sources/FleetCommands", swiftSettings: small
        ),

        // Test tool: asks one call from inside a namespace; built on the pure codec, never shipped.
        .executableTarget(
            name: "labpeer", dependencies: ["Addresses", "ONCRPC", "Portmapper"], path: "Tests/labpeer",
            swiftSettings: strict),

        // What several tests use; never shipped.
        .target(
            name: "TestSupport", dependencies: ["Addresses", "Clock"], path: "Tests/TestSupport", swiftSettings: strict),
        tests("AddressesTests", ["Addresses", "ONCRPC", "Portmapper", "TestSupport"], on: "Ground"),
        tests("ClockTests", ["Clock", "TestSupport"], on: "Ground"),
        tests("ONCRPCTests", ["ONCRPC", "TestSupport"], on: "Ground"),
        tests("ActivityTests", ["Activity"], on: "Core"),
        tests("ProbesTests", ["Addresses", "ONCRPC", "Portmapper", "Probes"], on: "Core"),
        tests(
            "PortmapperTests", ["Addresses", "ONCRPC", "Portmapper", "TestSupport"], on: "Ground", exclude: ["Golden"]),
        tests("PolicyTests", ["Addresses", "Policy", "TestSupport"], on: "Core"),
        // Samples that the core's tests share; never shipped.
        .target(
            name: "CoreSamples",
            dependencies: [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "AuditTrail", "TestSupport",
            ], path: "Tests/Core/CoreSamples", swiftSettings: strict),
        tests(
            "AuditTrailTests",
            ["Addresses", "Clock", "ONCRPC", "Policy", "Firewall", "AuditTrail", "CoreSamples", "TestSupport"],
            on: "Core"),
        tests(
            "GateTests",
            ["Addresses", "Clock", "ONCRPC", "Policy", "Firewall", "Gate", "CoreSamples", "TestSupport"], on: "Core"),
        tests(
            "WatchTests",
            [
                "Addresses", "Clock", "ONCRPC", "Policy", "Firewall", "Configuration", "Calls", "Watch", "CoreSamples",
                "TestSupport",
            ], on: "Core"),
        tests(
            "ExchangesTests",
            [
                "ONCRPC", "Portmapper", "Policy", "Firewall", "Calls", "Exchanges", "CoreSamples", "Addresses",
                "TestSupport",
            ], on: "Core"),
        tests(
            "UpstreamTests",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Upstream", "CoreSamples",
                "TestSupport",
            ], on: "Core"),
        tests(
            "WardenTests",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "AuditTrail", "FleetRecords", "Journal", "Watch", "Upstream", "Exchanges", "Gate", "Sharing", "Warden",
                "CoreSamples",
                "TestSupport",
            ], on: "Core"),
        tests(
            "PrivilegeTests", ["Addresses", "ONCRPC", "Policy", "Firewall", "Configuration", "Privilege"], on: "Core"),
        // Signed by a key of the tests' own; never shipped.
        .target(
            name: "BundleSamples", dependencies: ["Bundles", "Clock", "Signatures"], path: "Tests/BundleSamples",
            swiftSettings: strict),
        tests("BundlesTests", ["Addresses", "Bundles", "Clock", "Policy"], on: "Core"),
        tests(
            "FleetRecordsTests", ["Addresses", "Bundles", "Clock", "JSON", "FleetRecords", "TestSupport"], on: "Core"),
        tests("FleetTests", ["Addresses", "Bundles", "Clock", "FleetRecords", "Fleet", "TestSupport"], on: "Core"),
        tests("JSONTests", ["JSON"], on: "Core"),
        tests(
            "ReportsTests",
            [
                "Addresses", "Clock", "AuditTrail", "HostPosture", "Activity", "Reports", "AuditLog", "JSON",
                "Signatures", "TestSupport",
            ], on: "Core"),
        tests("EtcdTests", ["JSON", "Etcd", .product(name: "NIOHTTP1", package: "swift-nio")] + nio, on: "Shells"),
        tests("SignaturesTests", ["Signatures"], on: "Shells"),
        tests("SandboxTests", ["Sandbox"], on: "Shells"),
        tests(
            "PolicyFileTests",
            [
                "Addresses", "Clock", "Policy", "Bundles", "Configuration", "System", "PolicyFile", "BundleSamples",
                "TestSupport",
            ], on: "Shells"),
        tests(
            "NetfilterTests",
            [
                "Addresses", "ONCRPC", "Portmapper", "Calls", "Firewall", "Configuration", "Privilege", "Netfilter",
                "PolicyFile", "PortmapServer", "Sandbox", "Daemon", "BundleSamples",
            ] + nio,
            on: "Shells", exclude: ["Golden"]
        ),
        tests(
            "DaemonTests",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "AuditTrail", "FleetRecords", "Bundles", "Gate", "Warden", "Privilege", "System", "PolicyFile",
                "Sandbox", "Control", "Daemon",
                "BundleSamples", "CoreSamples", "TestSupport",
            ]
                + nio),
        // Against the real etcd, as EtcdTests; what starts it are links to those.
        tests(
            "SidecarTests",
            [
                "Addresses", "Clock", "Configuration", "FleetRecords", "System", "Etcd", "Fleet", "Sidecar",
                "BundleSamples", .product(name: "NIOHTTP1", package: "swift-nio"),
            ] + nio),
        tests(
            "PolicyDraftsTests",
            [
                "Addresses", "Clock", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail", "Warden",
                "PolicyDrafts", "PolicyFile", "TestSupport",
            ],
            on: "Core"),
        tests(
            "ShellTests",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Firewall", "Configuration", "Calls", "AuditTrail",
                "Activity", "Probes", "System", "Console", "HostNames", "PortmapServer", "RpcbindClient", "Liveness",
                "AuditLog",
                "Control",
                "Metrics", "TestSupport",
            ] + nio, on: "Shells"),
        tests(
            "HostPostureTests",
            ["Addresses", "Portmapper", "Firewall", "HostPosture", "System", "HostSurvey", "PolicyFile"],
            on: "Core"),
        tests("ArchitectureTests", []),
        // Fuzz is a package of its own: what it runs is linked here, and takes its seeds.
        .target(name: "Allocations", path: "Fuzz/Sources/Allocations"),
        tests(
            "FuzzTests",
            [
                "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls",
                "Gate", "Warden", "PolicyDrafts", "Bundles", "Signatures", "PolicyFile", "Netfilter", "Control",
                "Metrics", "JSON", "FleetRecords", "Probes", "Reports", "Allocations",
            ]),
        // What is pure in Benchmarks, a package of its own.
        tests("BenchTests", []),
        tests(
            "ReferenceTests",
            [
                "Addresses", "Clock", "Policy", "Firewall", "Configuration", "AuditTrail", "HostPosture",
                "PolicyDrafts", "Probes", "PolicyFile", "AuditLog", "Control", "Reports",
            ],
            exclude: ["validate.py", "typing.py", "mixedlog.py", "watching.py"]),
        tests("LabTests", ["Addresses", "ONCRPC", "Portmapper"]),
    ]
)
