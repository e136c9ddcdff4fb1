import Addresses
import Glibc

/// `labpeer tcp-hold`: connections that stay open and send little.
struct HoldCommand {
    static let usage = """
        labpeer tcp-hold --to ADDR --port N --count N [--from ADDR | --sources FIRST-ADDR/N]
                         [--interface NAME] [--bytes HEX] [--hold MS] [--wait MS]
        """

    private let peer: Endpoint
    private let count: Int
    private let sources: (first: IPAddress, count: Int)?
    private let bytes: [UInt8]
    private let hold: Duration
    private let wait: Duration

    init(_ list: ArraySlice<String>) throws(UsageError) {
        let arguments = try Arguments(
            list,
            options: [
                "--to", "--port", "--count", "--from", "--bytes", "--hold", "--wait", "--interface", "--sources",
            ])
        guard arguments.words.isEmpty else { throw UsageError("unexpected \(arguments.words[0])") }
        peer = try arguments.peer()
        count = try arguments.number("--count") ?? 1
        let source = try arguments.address("--from")
        sources = try arguments.sources() ?? source.map { ($0, 1) }
        bytes = try arguments.bytes("--bytes") ?? []
        hold = .milliseconds(try arguments.number("--hold") ?? 1000)
        wait = try arguments.wait()
    }

    private struct Held {
        var number: Int
        var socket: Socket
        var since: ContinuousClock.Instant
        var received = 0
    }

    func run() throws(SystemError) -> Int32 {
        raiseDescriptorLimit()
        var outcomes = (opened: 0, refused: 0, timeout: 0)
        var held: [Held] = []
        for number in 0..<count {
            let socket = try Socket(.tcp, isIPv4: peer.address.isIPv4)
            if let sources {
                let source = sources.first.advanced(by: number % sources.count)
                try socket.bind(to: Endpoint(source, 0, interface: peer.interface))
            }
            switch try socket.connect(to: peer, until: .now + wait) {
            case .connected:
                outcomes.opened += 1
                held.append(Held(number: number, socket: socket, since: .now))
                do { try socket.send(bytes) } catch { continue }  // the reset that caused it is reported below
            case .refused: outcomes.refused += 1
            case .timeout: outcomes.timeout += 1
            }
        }
        watch(&held, until: .now + hold)
        let closed = outcomes.opened - held.count
        say(
            "opened=\(outcomes.opened) refused=\(outcomes.refused) timeout=\(outcomes.timeout)"
                + " closed=\(closed) open=\(held.count)")
        return outcomes.opened == count ? 0 : 1
    }

    /// Reports each connection that the peer closes, and removes it.
    private func watch(_ held: inout [Held], until deadline: ContinuousClock.Instant) {
        while !held.isEmpty, ContinuousClock.now < deadline {
            var polled = held.map { pollfd(fd: $0.socket.descriptor, events: Int16(POLLIN), revents: 0) }
            guard poll(&polled, nfds_t(polled.count), milliseconds(until: deadline)) > 0 else { continue }
            for index in held.indices.reversed() where polled[index].revents != 0 {
                if !read(&held[index]) { held.remove(at: index) }
            }
        }
    }

    /// False if the peer has closed the connection.
    private func read(_ connection: inout Held) -> Bool {
        do {
            switch try connection.socket.read(until: .now) {
            case .bytes(let bytes):
                connection.received += bytes.count
                return true
            case .nothing: return true
            case .closed, .refused: break
            }
        } catch {
            say("connection=\(connection.number) \(error.text)")
        }
        let age = (ContinuousClock.now - connection.since).microseconds / 1000
        say("closed connection=\(connection.number) after-ms=\(age) bytes=\(connection.received)")
        return false
    }
}
