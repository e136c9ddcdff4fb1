import Testing

extension LabTests {
    @Suite("Beside another firewall that drops by default")
    struct CoexistenceTests {
        @Test(
            "the recipe lets pass what rpcwarden admits and nothing else, also after the other's reload",
            .lab(.rpcbind), arguments: Neighbour.allCases)
        func recipe(of neighbour: Neighbour) async throws {
            let lab = try Lab.current
            let (recipe, settings) = (try neighbour.recipe, try neighbour.settings)
            try await lab.serve(settings, policy: Policies.echoes())
            let reach = try await Reach(in: lab)

            try await neighbour.start(in: lab)
            try neighbour.apply(recipe.without(neighbour.passage), in: lab)
            #expect(try reach.lookedUp() == reach.everywhere, "port 111 is open")
            #expect(try reach.isClosed(), "our accept can't pierce the other's drop")
            if neighbour == .firewalldMark { try Self.addToFirewalld(lab, reach) }

            try neighbour.apply(recipe.text, in: lab)
            try reach.expectOnlyApproved("with the whole recipe")
            try neighbour.reload(in: lab)
            try reach.expectOnlyApproved("after the reload")
            #expect(try lab.events(.tampered).isEmpty)
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
        }

        @Test(
            "which flushes the ruleset, the guard is back, where the kernel can't keep it",
            .lab(.rpcbind, .daemon, settings: "firewall: {own-table: false}", policy: Policies.echoes()))
        func flushed() async throws {
            let lab = try Lab.current
            let reach = try await Reach(in: lab)
            try Neighbour.nftables.apply(Neighbour.nftables.recipe.text, in: lab)
            try await lab.event(.restored)
            try reach.expectOnlyApproved("after the first load")
            try Neighbour.nftables.reload(in: lab)
            try await eventually("restored again") { try lab.events(.restored).count == 2 }
            #expect(try reach.reached() == reach.everywhere, "the grants are back")
            #expect(try reach.isClosed(to: .stranger))
        }

        /// Adds a rule to firewalld's own table; the document states that a reload removes it.
        private static func addToFirewalld(_ lab: Lab, _ reach: Reach) throws {
            try lab.shell("nft insert rule inet firewalld filter_INPUT meta mark and 0x2000 != 0 accept")
            #expect(try reach.reached() == reach.everywhere)
            try lab.shell("firewall-cmd --reload")
            #expect(try reach.isClosed(), "the reload throws it away")
        }
    }
}
