import JSON

/// The members of a small JSON object: texts, whole numbers and flags; others are read over.
public struct JSONObject: Sendable {
    private let root: JSONValue

    /// Of a record.
    public static let bytesMax = 1024
    private static let depthMax = 8

    /// `nil` if the bytes aren't one object and nothing else.
    public init?(_ bytes: some Collection<UInt8>, bytesMax: Int = bytesMax) {
        guard bytes.count <= bytesMax else { return nil }
        let limits = JSONLimits(bytesMax: bytesMax, depthMax: Self.depthMax)
        do throws(JSONError) {
            root = try JSONDocument(Array(bytes), limits: limits).root
        } catch {
            return nil
        }
        guard root.isObject else { return nil }
    }

    public var names: [String] { root.members.map(\.name) }
    public func has(_ name: String) -> Bool { root[name] != nil }
    public func text(_ name: String) -> String? { root[name]?.text }
    /// A 64-bit number is written as text, as etcd does; a plain one is read too.
    public func number(_ name: String) -> Int64? { root[name]?.int64 }
    public func flag(_ name: String) -> Bool? { root[name]?.bool }
}
