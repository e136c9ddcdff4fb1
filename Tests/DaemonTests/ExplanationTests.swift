import Addresses
import Configuration
import CoreSamples
import Policy
import PolicyFile
import TestSupport
import Testing

@testable import Daemon

@Suite("explain") struct ExplanationTests {
    private static func load(listsOverUDP: Bool = false) -> LoadResult {
        var load = LoadResult()
        load.rules = [.sample(lists: true)]
        load.settings.limits.listsOverUDP = listsOverUDP
        return load
    }

    @Test("a client on this host may look up and list everything; at a server behind it, it is a client as others")
    func loopback() {
        let own = ip("192.0.2.1")
        for client in ["127.0.0.1", "::1", "192.0.2.1"] {
            let local = Explanation(of: Self.load(), client: ip(client), ownAddresses: [own])
            for transport in Transport.allCases {
                let (lookup, listing) = (local.lookup(.nfs, over: transport), local.listing(over: transport))
                #expect(lookup.isPermitted && lookup.text.hasSuffix("\nas a client on this host"), "\(lookup.text)")
                #expect(listing.isPermitted && listing.text.contains("all registrations"), "\(listing.text)")
            }
            let behind = Explanation(of: Self.load(), client: ip(client), at: "filer1", ownAddresses: [own])
            #expect(!behind.lookup(.nfs, over: .tcp).isPermitted && !behind.listing(over: .tcp).isPermitted)
        }
    }

    @Test("a listing over UDP is denied as the daemon denies it, and the missing setting is named")
    func listingOverUDP() {
        let strict = Explanation(of: Self.load(), client: ip("10.1.2.3"))
        #expect(strict.listing(over: .tcp).isPermitted)
        let verdict = strict.listing(over: .udp)
        #expect(!verdict.isPermitted)
        #expect(verdict.text.contains("reason: udp-list\nmissing: `udp-list: true` in `limits`"), "\(verdict.text)")
        let lenient = Explanation(of: Self.load(listsOverUDP: true), client: ip("10.1.2.3"))
        #expect(lenient.listing(over: .udp).isPermitted)
    }
}
