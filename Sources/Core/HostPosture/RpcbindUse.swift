import Addresses
import Portmapper

/// The registrations whose clients need rpcbind to find the port.
public struct RpcbindUse: Hashable {
    /// Programs whose clients need rpcbind.
    public private(set) var needing: Set<Program> = []
    /// No registered program needs rpcbind, and NFS version 4 is registered or version 3 is turned off.
    public private(set) var isNFSv4Only = false

    public init(_ registrations: [Registration], servesVersion3: Bool?, mountsOldNFS: Bool) {
        var servesNFSv4 = false
        for registration in registrations where registration.program != .portmapper {
            // NFSv4 clients connect to port 2049 without a lookup.
            if registration.program == .nfs, registration.version >= 4 {
                servesNFSv4 = true
            } else if servesVersion3 == false, !mountsOldNFS, Self.lockPrograms.contains(registration.program) {
                // NFS version 4 has locking built in; these programs are left over, or run without a use.
                continue
            } else {
                needing.insert(registration.program)
            }
        }
        isNFSv4Only = needing.isEmpty && (servesNFSv4 || servesVersion3 == false)
    }

    private static let lockPrograms: Set<Program> = [.nlockmgr, .status]
}
