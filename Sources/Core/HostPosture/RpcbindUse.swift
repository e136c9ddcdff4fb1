import Addresses
import Portmapper

/// What of the registrations a client has to ask rpcbind for.
public struct RpcbindUse: Hashable {
    /// Programs that need rpcbind.
    public private(set) var needing: Set<Program> = []
    /// NFS is served, by version 4 alone, or by nothing that is asked for.
    public private(set) var isNFSv4Only = false

    public init(_ registrations: [Registration], servesVersion3: Bool?, mountsOldNFS: Bool) {
        var servesNFSv4 = false
        for registration in registrations where registration.program != .portmapper {
            // NFSv4 clients connect to port 2049 without asking.
            if registration.program == .nfs, registration.version >= 4 {
                servesNFSv4 = true
            } else if servesVersion3 == false, !mountsOldNFS, Self.lockPrograms.contains(registration.program) {
                // Version 4 locks by itself; these are left over, or started for nobody.
                continue
            } else {
                needing.insert(registration.program)
            }
        }
        isNFSv4Only = needing.isEmpty && (servesNFSv4 || servesVersion3 == false)
    }

    private static let lockPrograms: Set<Program> = [.nlockmgr, .status]
}
