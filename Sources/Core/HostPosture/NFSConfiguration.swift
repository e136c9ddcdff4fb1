/// The NFS versions that nfsd serves, according to nfs.conf(5).
public struct NFSConfiguration: Hashable, Sendable {
    /// `nil`: the configuration does not specify it, or not in a way that is known here.
    public private(set) var servesVersion3: Bool?

    public init(_ lines: [NFSConfLine] = []) {
        guard let line = lines.last(where: { $0.section == "nfsd" && $0.key == "vers3" }) else { return }
        servesVersion3 = line.value.flatMap(ServiceUnit.boolean)
    }
}
