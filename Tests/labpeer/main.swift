import Glibc

/// A small RPC peer for lab tests; each subcommand has a file of its own.
let subcommands = [
    CallCommand.usage, ConnectCommand.usage, StormCommand.usage, ListenCommand.usage, HoldCommand.usage,
    StreamCommand.usage, FloodCommand.usage, RegisterCommand.usage, DebtCommand.usage,
]

let notes = """
    PROCEDURE: [v2|v3|v4] null | dump
               v2 getport|set|unset PROGRAM VERSION [tcp|udp|NUMBER [PORT]]
               v3|v4 getaddr PROGRAM VERSION [NETID]      v4 getversaddr|getaddrlist PROGRAM VERSION [NETID]
               v3|v4 set|unset PROGRAM VERSION [NETID [UADDR [OWNER]]]
               v2|v3 callit, v4 bcast|indirect PROGRAM VERSION PROCEDURE
               [v3|v4] gettime | uaddr2taddr [UADDR] | taddr2uaddr, [v4] getstat
               raw PROGRAM VERSION PROCEDURE
    Exit: 0 a reply was decoded, or a connection made; 1 silence, refused, closed; 2 usage; 3 a system call failed.
    """

let usage = (subcommands + [notes]).joined(separator: "\n")

func run(_ arguments: ArraySlice<String>) throws -> Int32 {
    let rest = arguments.dropFirst()
    switch arguments.first {
    case "call": return try CallCommand(rest).run()
    case "connect": return try ConnectCommand(rest).run()
    case "storm": return try StormCommand(rest).run()
    case "listen": return try ListenCommand(rest).run()
    case "tcp-hold": return try HoldCommand(rest).run()
    case "stream": return try StreamCommand(rest).run()
    case "flood": return try FloodCommand(rest).run()
    case "register": return try RegisterCommand(rest).run()
    case "debt": return try DebtCommand(rest).run()
    case "--help", "help":
        say(usage)
        return 0
    case let other: throw UsageError(other.map { "unknown subcommand \($0)" } ?? "a subcommand is missing")
    }
}

func complain(_ text: String) {
    let bytes = Array("labpeer: \(text)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

do {
    exit(try run(CommandLine.arguments.dropFirst()))
} catch let error as UsageError {
    complain("\(error.what)\n\(usage)")
    exit(2)
} catch let error as SystemError {
    complain(error.text)
    exit(3)
}
