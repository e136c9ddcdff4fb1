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
        let limits = Settings.Limits()
        #expect(limits.fitted(toDescriptors: descriptors).tcpConnections == connections)
        #expect(limits.fitted(toDescriptors: limits.descriptorsNeeded) == limits)
    }
}
