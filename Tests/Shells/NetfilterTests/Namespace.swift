import Glibc

// sched.h declares these for _GNU_SOURCE only, and Swift's Glibc module is built without it.
@_silgen_name("unshare") private func unshare(_ flags: Int32) -> Int32
@_silgen_name("setns") private func setns(_ descriptor: Int32, _ kind: Int32) -> Int32
private let CLONE_NEWNET: Int32 = 0x4000_0000

/// Runs `body` in a fresh network namespace of this thread, with `lo` up; `body` must not suspend.
///
/// Processes started by ``shell(_:)`` meanwhile are in the namespace too.
func inFreshNamespace<Result>(_ body: () throws -> Result) throws -> Result {
    let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0, unshare(CLONE_NEWNET) == 0 else { throw NamespaceError(errno: errno) }
    defer {
        // In the wrong namespace, every later test on this thread would give a wrong result.
        guard setns(home, CLONE_NEWNET) == 0 else { fatalError("setns: errno \(errno)") }
        close(home)
    }
    _ = shell("ip link set lo up")
    return try body()
}

/// Runs `body` in the network namespace of a process; `body` must not suspend.
func inNamespace<Result>(of processID: String, _ body: () throws -> Result) throws -> Result {
    let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    let away = open("/proc/\(processID)/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0, away >= 0, setns(away, CLONE_NEWNET) == 0 else { throw NamespaceError(errno: errno) }
    close(away)
    defer {
        guard setns(home, CLONE_NEWNET) == 0 else { fatalError("setns: errno \(errno)") }
        close(home)
    }
    return try body()
}

struct NamespaceError: Error {
    let errno: Int32
}

/// The command's output, errors included, and its exit status.
func shell(_ command: String) -> (text: String, status: Int32) {
    guard let pipe = popen("exec 2>&1; " + command, "r") else { return ("popen: errno \(errno)", -1) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        guard count > 0 else { break }
        bytes += buffer[..<count]
    }
    let status = pclose(pipe)
    return (String(decoding: bytes, as: UTF8.self), status)
}
