import Addresses
import Glibc
import Portmapper

/// `labpeer debt`: connections that send many calls, and read no replies, or all of them.
struct DebtCommand {
    static let usage = """
        labpeer debt --to ADDR [--port 111] [--connections N] [--calls N] [--from ADDR | --sources FIRST-ADDR/N]
                     [--interface NAME] [--reads] [--hold MS] [--wait MS] PROCEDURE… | distinct
                     --calls 0: without end; distinct: GETPORT of a program that nobody asked for before
        """

    private let peer: Endpoint
    private let count: Int
    private let calls: Int
    private let sources: (first: IPAddress, count: Int)?
    private let reads: Bool
    private let hold: Duration
    private let wait: Duration
    /// `nil`: each call is about another program.
    private let procedure: Procedure?

    private static let recordsAtOnce = 64

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list,
            options: [
                "--to", "--port", "--connections", "--calls", "--from", "--sources", "--hold", "--wait", "--interface",
            ], flags: ["--reads"])
        peer = try arguments.peer(defaultPort: 111)
        count = try arguments.number("--connections") ?? 1
        calls = try arguments.number("--calls") ?? 1
        let source = try arguments.address("--from")
        sources = try arguments.sources() ?? source.map { ($0, 1) }
        reads = arguments.has("--reads")
        hold = .milliseconds(try arguments.number("--hold") ?? 1000)
        wait = try arguments.wait()
        procedure =
            arguments.words == ["distinct"] ? nil : try Procedure(words: arguments.words, server: peer, over: .tcp)
    }

    private struct Debt {
        var number: Int
        var socket: Socket
        var called = 0
        var unsent: ArraySlice<UInt8> = []
    }

    func run() throws(SystemError) -> Int32 {
        raiseDescriptorLimit()
        var debts: [Debt] = []
        for number in 0..<count { if let debt = try open(number) { debts.append(debt) } }
        say("opened=\(debts.count)")
        let opened = debts.count
        var (sent, received) = (0, 0)
        let deadline = ContinuousClock.now + hold
        while !debts.isEmpty, ContinuousClock.now < deadline {
            var polled = debts.map { debt in
                let events = (reads ? POLLIN : 0) | (isDone(debt) ? 0 : POLLOUT)
                return pollfd(fd: debt.socket.descriptor, events: Int16(events), revents: 0)
            }
            guard poll(&polled, nfds_t(polled.count), milliseconds(until: deadline)) > 0 else { continue }
            for index in debts.indices.reversed() where polled[index].revents != 0 {
                do {
                    let events = Int32(polled[index].revents)
                    if events & (POLLERR | POLLHUP) != 0 { throw SystemError("closed", code: ECONNRESET) }
                    if events & POLLOUT != 0 { sent += try send(&debts[index]) }
                    if events & POLLIN != 0 { received += try read(debts[index].socket) }
                } catch {
                    debts.remove(at: index)
                }
            }
        }
        say("sent=\(sent) received=\(received) closed=\(opened - debts.count) open=\(debts.count)")
        return 0
    }

    private func open(_ number: Int) throws(SystemError) -> Debt? {
        let socket = try Socket(.tcp, isIPv4: peer.address.isIPv4)
        if let sources {
            let source = sources.first.advanced(by: number % sources.count)
            try socket.bind(to: Endpoint(source, 0, interface: peer.interface))
        }
        let outcome = try socket.connect(to: peer, until: .now + wait)
        return outcome == .connected ? Debt(number: number, socket: socket) : nil
    }

    private func isDone(_ debt: Debt) -> Bool { debt.unsent.isEmpty && calls > 0 && debt.called >= calls }

    private func send(_ debt: inout Debt) throws(SystemError) -> Int {
        if debt.unsent.isEmpty {
            let more = calls == 0 ? Self.recordsAtOnce : min(Self.recordsAtOnce, calls - debt.called)
            debt.unsent = (0..<more).flatMap { framed(message(debt.number, debt.called + $0)) }[...]
            debt.called += more
        }
        let sent = try debt.socket.sendSome(debt.unsent)
        debt.unsent = debt.unsent.dropFirst(sent)
        return sent
    }

    private func message(_ connection: Int, _ call: Int) -> [UInt8] {
        let xid = UInt32(truncatingIfNeeded: call + 1)
        if let procedure { return procedure.encoded(xid: xid) }
        let program = Program(UInt32(truncatingIfNeeded: 0x3000_0000 + call * count + connection))
        return PortmapperCall.getPort(Mapping(program: program, version: 1, protocolNumber: 6, port: 0))
            .encoded(xid: xid)
    }

    private func read(_ socket: Socket) throws(SystemError) -> Int {
        switch try socket.read(until: .now) {
        case .bytes(let bytes): return bytes.count
        case .nothing: return 0
        case .closed, .refused: throw SystemError("closed", code: ECONNRESET)
        }
    }
}
