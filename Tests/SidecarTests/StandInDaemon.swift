import Addresses
import Clock
import FleetRecords
import Foundation
import Glibc
import Synchronization
import System
import Testing

/// The daemon's end of fleet.sock: it greets, tells that it has nothing, and keeps what it hears.
final class StandInDaemon: Sendable {
    private struct State {
        var heard: [SidecarMessage] = []
        var stream: Int32?
        var greetings = 0
        var isAway = false
    }

    let path: String
    private let facts: DaemonFacts
    private let listener: Int32
    private let state = Mutex(State())

    init(at path: String, _ facts: DaemonFacts) throws {
        self.path = path
        self.facts = facts
        listener = try UnixSocket.make(.stream)
        try UnixSocket.bind(listener, to: path)
        #expect(listen(listener, 8) == 0)
        let this = self
        Thread { this.serve() }.start()
    }

    /// Ends the thread, too.
    func close() {
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
        drop()
    }

    /// Closes the connection, as a daemon that starts anew does.
    func drop() {
        state.withLock { state in
            if let stream = state.stream { shutdown(stream, Int32(SHUT_RDWR)) }
            state.stream = nil
            state.heard = []
        }
    }

    private func serve() {
        while true {
            let stream = accept(listener, nil, nil)
            guard stream >= 0 else { return }
            state.withLock {
                $0.stream = stream
                $0.greetings += 1
            }
            tell(.hello(facts), .resyncBegan, .resyncEnded)
            read(stream)
            Glibc.close(stream)
        }
    }

    private func read(_ stream: Int32) {
        var rest: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(stream, &chunk, chunk.count, 0)
            guard count > 0 else { return }
            rest += chunk[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(rest[..<end])
                rest.removeSubrange(...end)
                do {
                    let message = try SidecarMessage(line: line)
                    state.withLock { $0.heard.append(message) }
                } catch {
                    Issue.record("\(error): \(String(decoding: line, as: UTF8.self))")
                }
            }
        }
    }

    func tell(_ messages: DaemonMessage...) {
        let bytes = messages.flatMap(\.line)
        guard let stream = state.withLock({ $0.stream }) else { return }
        _ = send(stream, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    var greetings: Int { state.withLock { $0.greetings } }
    var heard: [SidecarMessage] { state.withLock { $0.heard } }

    /// Waits for a message; the bound ends only a test that fails.
    @discardableResult
    func hears<Value>(_ what: String, _ pick: (SidecarMessage) -> Value?) throws -> Value {
        let deadline = ContinuousClock.now + .seconds(120)
        while true {
            if let value = heard.lazy.compactMap(pick).first { return value }
            try #require(ContinuousClock.now < deadline, "\(what): \(heard.suffix(8))")
            usleep(10_000)
        }
    }

    func hearsThatItIsInStep() throws {
        try hears("in step") { if case .store(let state) = $0, state.isSynced { true } else { nil } }
    }

    func hears(offerOf grant: SharedGrant) throws -> GrantOffer {
        try hears("an offer of \(grant)") {
            if case .offer(let offer) = $0, offer.grant == grant { offer } else { nil }
        }
    }
}
