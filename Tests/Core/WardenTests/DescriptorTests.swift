import Configuration
import Firewall
import ONCRPC
import Policy
import Testing

@Suite("limits and descriptors") struct DescriptorTests {
    @Test(
        "connections, remote and local, fit into the descriptors, and one always does",
        arguments: [
            (1_048_576, 1024), (2 * 1024 + 48, 1024), (2 * 1024 + 47, 1023), (1024, 488), (64, 8), (48, 1), (3, 1),
        ])
    func fitted(descriptors: Int, connections: Int) {
        let settings = Settings()
        #expect(settings.limits(fittedToDescriptors: descriptors).tcpConnections == connections)
        #expect(settings.limits(fittedToDescriptors: settings.descriptorsNeeded) == settings.limits)
    }

    @Test("a gateway keeps descriptors for its servers, and for what it asks of services and clients")
    func gateway() {
        var settings = Settings()
        settings.gateway = Settings.Gateway()
        settings.gateway?.servers = [Settings.Server(), Settings.Server()]
        #expect(settings.descriptorsNeeded == Settings().descriptorsNeeded + 2 * 256 + 2)
        #expect(settings.limits(fittedToDescriptors: 1024).tcpConnections == (1024 - 48 - 512 - 2) / 2)
        #expect(settings.limits(fittedToDescriptors: settings.descriptorsNeeded) == settings.limits)
    }
}
