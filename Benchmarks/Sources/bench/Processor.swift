import Foundation

/// The pids of a process and its children.
func family(of pid: Int32) -> [Int32] {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
    let children = tasks.flatMap {
        contents("/proc/\(pid)/task/\($0)/children").split(separator: " ").compactMap { Int32($0.trimming) }
    }
    return [pid] + children.flatMap(family)
}

extension Substring {
    var trimming: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}

/// Processor time in seconds, of all their threads.
func processorSeconds(_ pids: [Int32]) -> Double {
    var nanoseconds = 0.0
    for pid in pids {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        for task in tasks {
            nanoseconds +=
                Double(contents("/proc/\(pid)/task/\(task)/schedstat").split(separator: " ").first ?? "") ?? 0
        }
    }
    return nanoseconds / 1e9
}

/// Private and shared memory in use, in bytes.
func residentBytes(_ pid: Int32) -> Double {
    let line = contents("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
    return 1024 * (line.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Double($0) } ?? 0)
}

/// Schedules the processes round robin before all ordinary processes: on a busy machine, figures are meaningless
/// otherwise.
func makeRealtime(_ pids: [Int32]) throws {
    for pid in pids { try execute(["chrt", "-a", "-r", "-p", "10", "\(pid)"]) }
}
