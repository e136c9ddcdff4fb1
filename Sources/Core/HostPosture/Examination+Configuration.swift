/// What keeps the daemon from starting.
extension Examination {
    var configuration: [Finding] {
        guard let first = facts.configurationErrors.first else { return [] }
        let count = facts.configurationErrors.count
        let more = count > 1 ? ", and \(count - 1) more" : ""
        let option = facts.configurationPath.map { " --config \($0)" } ?? ""
        return [
            Finding(
                "configuration-refused", .high,
                what: "rpcwarden refuses its configuration or policy: \(first)\(more)",
                why: """
                    The daemon doesn't start with them. One that runs keeps what it has read before, and refuses to \
                    reload.
                    """,
                mend: ["rpcwarden check\(option)"])
        ]
    }
}
