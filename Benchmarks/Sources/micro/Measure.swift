import Allocations
import Glibc

/// The cost of one operation: its nanoseconds in each of several rounds, and the number of its allocations.
struct Cost {
    var name: String
    var nanoseconds: [Double]
    var allocations: Double

    var json: String {
        #"{"name": "\#(name)", "nanoseconds": \#(nanoseconds), "allocations": \#(allocations)}"#
    }
}

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Repeats the operation so often that a round takes some milliseconds. `body` takes the operation's number.
func measure(_ name: String, times: Int, rounds: Int = 9, _ body: (Int) -> Void) -> Cost {
    // Tables grow to their final size.
    for index in 0..<times { body(index) }
    var nanoseconds: [Double] = []
    nanoseconds.reserveCapacity(rounds)
    let before = allocations_count()
    for round in 1...rounds {
        let start = now()
        for index in 0..<times { body(round * times + index) }
        nanoseconds.append(Double(now() - start) / Double(times))
    }
    let allocations = Double(allocations_count() - before) / Double(rounds * times)
    return Cost(name: name, nanoseconds: nanoseconds, allocations: allocations)
}

/// Keeps the optimiser from removing the computation of the value.
@inline(never) @_optimize(none)
func use<Value>(_ value: Value) {}
