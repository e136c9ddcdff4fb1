import Addresses
import Bundles
import Clock
import FleetRecords
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import System
import Testing

@testable import Daemon

@Suite("what a node remembers of its fleet") struct FleetMemoryTests {
    private static let time = Timestamp(milliseconds: 1_800_000_000_000)

    private static func order(_ id: String, _ created: Timestamp = time) -> FleetOrder {
        FleetOrder(fleet: "lab", id: id, created: created, action: .revoke, client: .v4(1))
    }

    private func taken(_ order: FleetOrder, at time: Timestamp, _ orders: inout FollowedOrders)
        -> FollowedOrders.Answer
    {
        orders.take(order, at: time)
    }

    @Test("an order is followed once, also by a later run; after a day its age refuses it")
    func orders() {
        var orders = FollowedOrders()
        #expect(taken(Self.order("a"), at: Self.time, &orders) == .follow)
        #expect(taken(Self.order("a"), at: Self.time, &orders) == .isKnown)
        var next = FollowedOrders()
        for line in orders.lines { next.found(line) }
        #expect(next == orders)
        #expect(taken(Self.order("a"), at: Self.time, &next) == .isKnown)
        #expect(taken(Self.order("b"), at: Self.time, &next) == .follow)
        // A day later a revocation isn't followed again, and counts on; another order is forgotten.
        let release = FleetOrder(fleet: "lab", id: "r", created: Self.time, action: .release, client: .v4(1))
        #expect(taken(release, at: Self.time, &next) == .follow)
        _ = next.take(Self.order("c", Self.time + .seconds(86_401)), at: Self.time + .seconds(86_401))
        #expect(next.revocations.count == 3 && !next.hasFollowed("r"))
        let later = Self.time + EndedRecord.revocationHolds + .seconds(1)
        _ = next.take(Self.order("d", later), at: later)
        #expect(next.revocations.count == 2 && !next.hasFollowed("a"))
    }

    @Test("orders of a day leave no room to more, those before it do")
    func olderOrders() {
        var orders = FollowedOrders()
        let next = Self.time + .seconds(2 * 86_401)
        for (day, time) in [(0, Self.time), (1, Self.time + .seconds(86_401)), (2, next)] {
            for number in 0..<FleetOrder.countMax {
                #expect(taken(Self.order("o\(day)-\(number)", time), at: time, &orders) == .follow)
            }
        }
        #expect(orders.lines.count == 2 * FleetOrder.countMax)
        #expect(orders.hasFollowed("o2-0") && !orders.hasFollowed("o0-0"))
        #expect(taken(Self.order("one-more", next), at: next, &orders) == .isBeyondLimit)
    }

    @Test("there is a limit: more orders a day are not followed")
    func limit() {
        var orders = FollowedOrders()
        for number in 0..<FleetOrder.countMax { _ = orders.take(Self.order("o\(number)"), at: Self.time) }
        #expect(taken(Self.order("one-more"), at: Self.time, &orders) == .isBeyondLimit)
    }

    @Test("lines that mean nothing are read over")
    func lines() {
        var orders = FollowedOrders()
        for line in ["", "order", "order a b", "order a/b 1", "order a 1 2", "ordre a 1", "order \u{e4} 1"] {
            orders.found(line)
        }
        #expect(orders.lines.isEmpty)
    }

    @Test(
        "what could not be written is written when it can be, and what is being written when the daemon ends is whole")
    func again() throws {
        let folder = "/tmp/rpcwarden-test.\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let told = Mutex<[String]>([])
        let ended = DaemonMessage.remembered(
            SharedGrant(.v4(7), .nfs, .tcp), EndedRecord(at: Self.time, why: .revoked))
        let bound = try group.next().submit {
            let thread = WorkThread(for: group.next())
            let memory = FleetMemory(folder: folder, on: thread) { line in told.withLock { $0.append(line) } }
            memory.timeAdvanced(to: .zero, mark: 1) { [ended] }
            return NIOLoopBound((memory: memory, thread: thread), eventLoop: group.next())
        }.wait()
        while told.withLock({ $0.isEmpty }) { usleep(1000) }
        mkdir(folder, 0o700)
        var second = 0
        while access(folder + "/fleet", F_OK) != 0 {
            second += 1
            let now = Instant.zero + .seconds(2 * second)
            try group.next().submit { bound.value.memory.timeAdvanced(to: now, mark: 1) { [ended] } }.wait()
            usleep(1000)
            if second > 20_000 {
                Issue.record("it isn't written")
                break
            }
        }
        try group.next().submit {
            bound.value.memory.timeAdvanced(to: .distantFuture, mark: 2) { [ended, ended] }
            bound.value.memory.close(mark: 2) { [ended, ended] }
            let next = FleetMemory(folder: folder, on: bound.value.thread) { line in told.withLock { $0.append(line) } }
            #expect(next.read() == [ended, ended])
            bound.value.thread.close()
        }.wait()
        #expect(told.withLock { $0.count } == 1)
        unlink(folder + "/fleet")
        rmdir(folder)
        try group.syncShutdownGracefully()
    }

    @Test("what was ended and followed is read by the next run; garbage is read over, a missing folder told once")
    func file() throws {
        let folder = "/tmp/rpcwarden-test.\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
        mkdir(folder, 0o700)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let told = Mutex<[String]>([])
        let grant = SharedGrant(.v4(7), .nfs, .tcp)
        let ended = DaemonMessage.remembered(grant, EndedRecord(at: Self.time, why: .revoked))
        try group.next().submit {
            let thread = WorkThread(for: group.next())
            let memory = FleetMemory(folder: folder, on: thread) { line in told.withLock { $0.append(line) } }
            #expect(memory.read().isEmpty)
            _ = memory.orders.take(Self.order("a"), at: Self.time)
            memory.close(mark: 1) { [ended] }
            let path = folder + "/fleet"
            let descriptor = open(path, O_WRONLY | O_APPEND)
            let garbage = Array("{\"is\":\"remembered\"}\nnonsense\n{{\n".utf8)
            #expect(write(descriptor, garbage, garbage.count) == garbage.count)
            close(descriptor)
            let next = FleetMemory(folder: folder, on: thread) { line in told.withLock { $0.append(line) } }
            #expect(next.read() == [ended])
            #expect(next.orders.hasFollowed("a"))
            unlink(path)
            rmdir(folder)
            next.close(mark: 5) { [ended] }
            next.close(mark: 6) { [ended] }
            thread.close()
        }.wait()
        #expect(told.withLock { $0.count } == 1)
        try group.syncShutdownGracefully()
    }
}
