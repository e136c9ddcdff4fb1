import Allocations
import Glibc

/// Takes any bytes, and stops the process if a property does not hold.
struct FuzzTarget: Sendable {
    let name: String
    /// The maximum bytes of one allocation for each byte of input; `nil`: unlimited.
    let allocationFactor: Int?
    let run: @Sendable (UnsafeRawBufferPointer) -> Void

    /// The bytes that a run may allocate with any input: a Warden, a few actions and their texts.
    private static let fixedBytes = 8192

    static let all: [FuzzTarget] = [
        .call, .arguments, .reply, .records, .text, .netlink, .packet, .control, .http, .policy, .exports,
        .savedGuard, .bundle, .json, .messages, .report,
    ]

    /// The target named by the environment.
    static let chosen: FuzzTarget = {
        let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = all.first(where: { $0.name == name }) else {
            fatalError("FUZZ_TARGET is one of \(all.map(\.name).joined(separator: " "))")
        }
        return target
    }()

    func check(_ bytes: UnsafeRawBufferPointer) {
        guard let allocationFactor else { return run(bytes) }
        let limit = Self.fixedBytes + allocationFactor * bytes.count
        // One-time initialization is not caused by the input, so the run is repeated.
        guard largestAllocation(bytes) > limit else { return }
        let largest = largestAllocation(bytes)
        require(largest <= limit, "\(bytes.count) bytes make it allocate \(largest) at once")
    }

    private func largestAllocation(_ bytes: UnsafeRawBufferPointer) -> Int {
        _ = allocations_take_largest()
        run(bytes)
        return allocations_take_largest()
    }
}

/// Like `precondition`, which prints no message in optimised code.
func require(_ claim: Bool, _ text: @autoclosure () -> String, line: Int = #line, file: String = #fileID) {
    guard !claim else { return }
    fatalError("\(file):\(line): \(text())")
}

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ argumentCount: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>
) -> CInt {
    _ = FuzzTarget.chosen
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    FuzzTarget.chosen.check(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
