import Testing

extension LabTests {
    @Suite("Who changes the table from outside")
    struct TamperingTests {
        @Test(
            "is undone, with every live grant, and logged",
            .lab(.rpcbind, .daemon, settings: "firewall: {own-table: false}", policy: Policies.echoes()),
            arguments: [
                "flush ruleset", "delete table inet rpcwarden", "flush set inet rpcwarden granted4",
                "delete element inet rpcwarden guarded { tcp . 4001 }", "flush chain inet rpcwarden guarded_port",
                "add element inet rpcwarden granted4 { 10.77.4.2 . tcp . 4001 }",
            ])
        func undone(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let issued = try lab.grants().map(\.issued)
            #expect(try lab.nft(change).isSuccess)
            try await lab.event(.tampered) { $0.detail?.contains("nft") == true }
            try await lab.event(.restored)
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"))
            #expect(try lab.grants().map(\.issued) == issued)
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "is undone within a second; on a busy machine, in the quickest of ten tries",
            .lab(.rpcbind, .daemon, settings: "firewall: {own-table: false}", policy: Policies.echoes()))
        func undoneSoon() async throws {
            let lab = try Lab.current
            var times: [Duration] = []
            while times.count < 10, times.last.map({ $0 > .seconds(1) }) ?? true {
                let before = try lab.events(.restored).count
                let start = ContinuousClock.now
                #expect(try lab.nft("delete table inet rpcwarden").isSuccess)
                try await eventually("the table is back", within: .seconds(30)) {
                    try lab.events(.restored).count > before
                }
                times.append(.now - start)
            }
            #expect(times.contains { $0 <= .seconds(1) }, "\(times)")
        }

        @Test(
            "can't, where the kernel lets the daemon own its table",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()),
            arguments: ["flush ruleset", "delete table inet rpcwarden"])
        func owned(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            _ = try lab.nft(change)
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"))
            #expect(try lab.grants().count == 1)
            #expect(try lab.events(.tampered).isEmpty)
        }
    }
}
