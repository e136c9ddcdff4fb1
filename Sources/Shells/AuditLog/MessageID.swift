import AuditTrail

extension AuditEvent.Kind {
    /// The event's ID in the journal's catalog, systemd/rpcwarden.catalog. IDs never change.
    var messageID: String {
        switch self {
        case .permitted: "f1528614627a4dabadb50e88ab2ad1d4"
        case .denied: "701985f0de0f462d87e2b154f39c65fe"
        case .malformed: "2b573545d6bf4278ba1bdf2f95848468"
        case .granted: "12897d88c18a42ed97cbd62d7ab84f61"
        case .renewed: "acec067cfb5d4acdba83bcea54f1fe13"
        case .expired: "a714236215a64e53ba04d5c23e9ddeaf"
        case .revoked: "1a1774ebd36446168f208a1a76ea3d44"
        case .enumeration: "3e9cf3a555984f6d9e250a9d332d8d36"
        case .quarantined: "6d598a062c3a4957a5d2931b36dc44a1"
        case .released: "6fb19d67ec07461b8434962038230055"
        case .probed: "fe6349e535984331adacf50733a4f415"
        case .registered: "254ae054232b48ec9045b9f53d9e02d1"
        case .unregistered: "9d3b3e8e657646a0885a61b956965f26"
        case .untrustedRegistration: "a44147de6e2f47a581985a374ae16021"
        case .staleRegistration: "c48f7e171274469bbbbc95392a182c1d"
        case .tampered: "3a45a3b6a2bd475690335fe3f16d18ed"
        case .restored: "c76024b8e25642c8b1cdde55671072dd"
        case .rpcbindDown: "cf7d56d415184bf6a5df7e042bcb2ed4"
        case .rpcbindUp: "58fc9c064ddf4e569f8a55f2a8f7793d"
        case .reloaded: "de7c56b984f94853bb07ba36dded6ce8"
        case .reloadRefused: "8966806bc1fb4073bace43661b7d3d92"
        case .policyAccepted: "8a3c9b8da40441a4be7b8746ec4a178d"
        case .policyRefused: "d70998ba403a4c07a2c0f7b2eac3bfab"
        case .policyExpired: "066d715cd25540e79a882d099a5b3cc5"
        case .fleetConnected: "5d5f0f5c0b0a4c6c9a8a7c3b0d4f4a11"
        case .fleetLost: "0f0c8f6a2c7d4d0e8b7e5d1c6a9b3e42"
        case .started: "df4d81a4e98e45ce800885b030233b46"
        case .stopped: "6f5bf5f397c44af2a6d13feae5c83090"
        case .suppressed: "9ed824ae84d34fbb9a6f6d8215085158"
        case .shielded: "3f29daf6c11f43f798f4edb425b8f63d"
        case .orphaned: "cc00e2536d5a43279282c61d3dda47d4"
        case .unguardable: "4b29d8bf6b9c48ffa9c791f37bde73ce"
        }
    }
}
