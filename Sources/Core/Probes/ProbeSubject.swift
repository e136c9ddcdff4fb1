import Addresses

/// A service that a probe asks about.
public struct ProbeSubject: Hashable, Sendable {
    public var program: Program
    public var version: UInt32
    public var transport: Transport

    public init(program: Program, version: UInt32, transport: Transport) {
        (self.program, self.version, self.transport) = (program, version, transport)
    }

    /// What a host of NFSv3 needs.
    public static let defaultPrograms: [Program] = [.nfs, .mountd, .nlockmgr, .status]

    /// The version that clients of the program ask for. A program that has only others answers all the same
    /// (PROG_MISMATCH).
    public static func usualVersion(of program: Program) -> UInt32 {
        switch program {
        case .portmapper, Program(100_004), Program(100_007): 2  // and ypserv, ypbind
        case .nfs, .mountd: 3
        case .nlockmgr: 4
        case Program(100_227): 3  // nfs_acl
        case _: 1
        }
    }

    /// Each program over each transport, once.
    ///
    /// - Parameter programs: with a version; `nil`: the usual one. None: those of a host of NFSv3.
    public static func all(
        _ programs: [(program: Program, version: UInt32?)], over transports: [Transport]
    ) -> [ProbeSubject] {
        let asked = programs.isEmpty ? defaultPrograms.map { ($0, nil) } : programs
        var seen: Set<ProbeSubject> = []
        return asked.flatMap { program, version in
            transports.map {
                ProbeSubject(program: program, version: version ?? usualVersion(of: program), transport: $0)
            }
        }.filter { seen.insert($0).inserted }
    }
}
