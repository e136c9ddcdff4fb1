import Testing

@testable import Activity

@Suite("the order of labels") struct NaturalTextTests {
    @Test("numbers are ordered as numbers, wherever they stand")
    func order() {
        let ordered = [
            "", "10.0.0.2", "10.0.0.9", "10.0.0.010", "10.0.0.10", "10.0.0.10x", "10.0.9.1", "10.0.10.1", "172.16.0.1",
            "fd00::2", "fd00::10", "tcp/111", "tcp/2049", "tcp/18446744073709551616", "tcp/18446744073709551617",
        ]
        let pairs = zip(ordered, ordered.dropFirst())
        for (first, second) in pairs {
            #expect(NaturalText(first) < NaturalText(second), "\(first) \(second)")
            #expect(!(NaturalText(second) < NaturalText(first)), "\(second) \(first)")
        }
        for text in ordered { #expect(!(NaturalText(text) < NaturalText(text))) }
    }

    @Test("grants are ordered by their clients, then by their ports")
    func labels() {
        let labels = [("10.0.0.10", "tcp/9"), ("10.0.0.9", "tcp/2049"), ("10.0.0.9", "tcp/111")]
            .map { GrantLabel(client: $0.0, service: $0.1) }
        #expect(labels.sorted().map(\.description) == ["10.0.0.9 tcp/111", "10.0.0.9 tcp/2049", "10.0.0.10 tcp/9"])
    }
}
