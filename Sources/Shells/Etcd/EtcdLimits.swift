import JSON

/// What a member may cost this process, whatever it sends.
public enum EtcdLimits {
    /// etcd's limit (`--max-txn-ops`).
    public static let operationsMax = 128
    /// Questions that wait for the one connection; a page and a transaction take milliseconds.
    public static let waitingMax = 256
    /// A cluster has at most seven members.
    public static let endpointsMax = 16
    /// After a silence of this length the kernel asks the other end of a connection whether it is there.
    static let silenceSeconds = 30
    /// Each has a connection of its own.
    public static let watchesMax = 8
    public static let rangesMax = 16

    /// The body of a response, and a line of a watch.
    ///
    /// etcd sends a watch's batch in fragments of its request limit plus 512 KiB, 2 MiB in all, and base64 makes
    /// 2.8 MB of them. A short event takes four times its protobuf bytes as JSON, since names and numbers are text.
    /// A page of 2,000 records of 1 KiB takes 4 MB.
    public static let responseBytesMax = 8 << 20
    /// An error that came instead of a watch.
    static let errorBytesMax = 64 << 10
    /// etcd refuses more (`--max-request-bytes`, 1.5 MiB); base64 makes 2 MiB of them.
    static let requestBytesMax = 4 << 20
    /// etcd sends some 400 bytes.
    static let headerBytesMax = 16 << 10
    static let headersMax = 64
    /// Of a token; a JWT takes some 500 bytes.
    static let tokenBytesMax = 8 << 10
    /// Of a reason that is passed on.
    static let reasonCharactersMax = 500

    /// A page of 5,000 keys has 60,000 values.
    static let json = JSONLimits(bytesMax: responseBytesMax, depthMax: 16, membersMax: 32, valuesMax: 1 << 20)
}
