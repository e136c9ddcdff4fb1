/// What a document may cost its reader.
public struct JSONLimits: Hashable, Sendable {
    /// The whole text.
    public var bytesMax: Int
    /// Containers within each other.
    public var depthMax: Int
    /// Members of one object. The hash of each name is compared with the ones before it, so this bounds the work for a byte.
    public var membersMax: Int
    /// Values and names of the whole document; each takes 16 bytes of memory.
    public var valuesMax: Int

    public init(bytesMax: Int, depthMax: Int = 16, membersMax: Int = 64, valuesMax: Int = 1 << 20) {
        self.bytesMax = bytesMax
        self.depthMax = depthMax
        self.membersMax = membersMax
        self.valuesMax = valuesMax
    }
}

public enum JSONError: Error, Hashable, Sendable {
    case tooLong
    case tooDeep
    case tooManyMembers
    case tooManyValues
    /// An object has the same name twice; other readers would take the one or the other.
    case duplicateMember(place: Int)
    /// The byte at `place`, or the end, can't be there.
    case malformed(place: Int)
}
