import Allocations
import Glibc

/// What one operation costs: nanoseconds of each of several rounds, and how often it asks for memory.
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

/// Runs it so often that a round takes some milliseconds. `body` takes the number of the operation.
func measure(_ name: String, times: Int, rounds: Int = 9, _ body: (Int) -> Void) -> Cost {
    // Tables grow to the size that they keep.
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

/// What is computed is used, as far as the optimiser knows.
@inline(never) @_optimize(none)
func use<Value>(_ value: Value) {}
