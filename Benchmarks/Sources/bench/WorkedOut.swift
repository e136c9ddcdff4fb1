/// Estimates of figures that can't be measured on this machine, from its measurements.
struct WorkedOut {
    let report: Report

    init(_ report: Report) { self.report = report }

    private static let nodes = 10_000.0
    private static let lookups = 8.0
    private static let flood = 10e6

    var figures: [Figure] { grants + cluster + spoofed }

    private func value(_ table: String, _ name: String, _ column: String) -> Double {
        report.value(table, name, column) ?? .nan
    }

    private func figure(_ name: String, _ unit: Unit, _ value: Double) -> Figure {
        Figure("worked out", name, [.init("works out at", unit, value)])
    }

    private static let many = "10,000 clients, 128 in flight"

    /// The sum of the kernel's time and the pure core's time, because the loop waits for the kernel.
    private var grants: [Figure] {
        let wall = 1e6 / value("grants", Self.many, "grants in place")
        let kernel = value("grants", GrantFloor.manyName, "an element")
        let time = { (name: String) in value("micro", name, "time") / 1000 }
        let pure = time("a lookup with a new grant") - time("a lookup, grant in place")
        return [
            figure(
                "new grants, of those in place, if they cost the kernel's part and the pure core's alone", .ratio,
                wall / (wall + kernel + pure))
        ]
    }

    private var cluster: [Figure] {
        let calls = Self.nodes * Self.lookups
        let many = Self.many
        let mix = "v2 GETPORT, UDP, 20 programs"
        let memory = { (grants: Int) in value("growth over grants", "\(grants) grants", "Memory, all processes") }
        let each = (memory(65_536) - memory(1000)) / (65_536 - 1000)
        return [
            figure("boot: 80,000 lookups, rpcbind alone", .seconds, calls / value("throughput", mix, "rpcbind")),
            figure(
                "boot: 80,000 lookups, each with a new grant", .seconds,
                calls / value("grants", many, "each with a new grant")),
            figure(
                "boot again, the grants in place", .seconds, calls / value("grants", many, "grants in place")),
            figure(
                "CPU of a boot again: rpcwarden, its netfilter process and rpcbind", .seconds,
                calls * value("cost", mix, "CPU a call, rpcwarden") / 1e6),
            figure("memory that 80,000 grants take, the kernel's sets apart", .megabytes, each * calls),
            figure("one grant", .bytes, each * 1e6),
        ]
    }

    private var spoofed: [Figure] {
        let (denied, shielded) = ("strangers over UDP, for a second of CPU", "the same, shielded by the kernel")
        let packets = "packets that one core sends and the kernel takes"
        return [
            figure(
                "10 Mpps of strangers: cores to answer them all with silence", .count,
                Self.flood / value("denials", denied, "rpcwarden")),
            figure(
                "the same, shielded: rpcwarden's cores, and what the kernel takes longer than to deliver", .ratio,
                Self.flood / value("denials", shielded, "rpcwarden")),
            figure(
                "the same, shielded: cores for all of it, the sender's part on a veth included", .ratio,
                Self.flood / value("denials", packets, "rpcwarden")),
            figure(
                "the same, one rule before conntrack", .ratio,
                Self.flood / value("denials", packets, "one rule before conntrack")),
        ]
    }
}
