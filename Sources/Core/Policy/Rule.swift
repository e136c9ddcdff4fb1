import Addresses

/// When a rule's service ports are open to its clients.
public enum Opening: String, Hashable, Sendable, Comparable, CaseIterable {
    /// The port may be looked up, but rpcwarden never opens it.
    case never
    /// Opened for a client that looked the port up.
    case onLookup = "on-lookup"
    /// Open without any look-up; follows the registration.
    case always

    private var strength: Int {
        switch self {
        case .never: 0
        case .onLookup: 1
        case .always: 2
        }
    }

    public static func < (left: Self, right: Self) -> Bool { left.strength < right.strength }
}

/// A client that a rule names: addresses, or a host name that is resolved outside.
public enum ClientTerm: Hashable, Sendable {
    case prefix(Prefix)
    case host(String)
}

/// A place in a file; `line` and `column` count from 1.
public struct Location: Hashable, Sendable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    public var description: String { "\(file):\(line):\(column)" }
}

/// One rule of the policy. Rules only permit; none denies. Groups are already expanded.
public struct Rule: Hashable, Sendable {
    public var name: String { didSet { label = Self.label(name, location) } }
    public var location: Location { didSet { label = Self.label(name, location) } }
    /// `policy.yaml:14 "workstations mount NFSv3"`, the rule's name in `explain` and the audit events.
    public private(set) var label: String
    public var from: [ClientTerm]
    public var except: [ClientTerm]
    public var at: ServerScope
    public var to: Set<Program>
    /// Programs that are named by ranges, in addition to ``to``.
    public var programRanges: ProgramRanges
    /// The transports of the service, not of the question.
    public var over: Set<Transport>
    public var lists: Bool
    public var open: Opening
    /// It came with a fleet's bundle.
    public var isFromBundle = false
    /// Its bundle has expired, and it permits no new look-up.
    public var isExpired = false

    public init(
        name: String, location: Location, from: [ClientTerm], except: [ClientTerm] = [],
        at: ServerScope = .thisHost, to: Set<Program>, programRanges: ProgramRanges = .none,
        over: Set<Transport> = [.tcp, .udp], lists: Bool = false, open: Opening = .onLookup
    ) {
        self.name = name
        self.location = location
        label = Self.label(name, location)
        self.from = from
        self.except = except
        self.at = at
        self.to = to
        self.programRanges = programRanges
        self.over = over
        self.lists = lists
        self.open = open
    }

    public func names(_ program: Program) -> Bool { to.contains(program) || programRanges.contains(program) }

    /// Made once, because each lookup tells its rule.
    private static func label(_ name: String, _ location: Location) -> String {
        let file = location.file.split(separator: "/").last.map(String.init) ?? location.file
        return "\(file):\(location.line) \"\(name)\""
    }
}
