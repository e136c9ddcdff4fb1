import CNetfilter
import Firewall
import Glibc

/// Reads the reports of the table's log rules about dropped packets; never blocks.
///
/// Works in the network namespace of the thread that called `init`.
public final class DropLog {
    /// The longest IPv4 header and the ports need 64 bytes.
    static let headerBytesMax: UInt32 = 96
    /// Most calls need about as much again; a longer credential is truncated.
    static let packetBytesMax: UInt32 = 256
    /// Upper bound of receives per call of ``readEvents()``; after that the descriptor stays readable.
    private static let receivesMax = 1024
    private static let receiveBufferBytes: Int32 = 1 << 20
    private static let nextAtOnce: (count: UInt32, centiseconds: UInt32) = (1, 1)

    /// Packets that the kernel couldn't report because the socket was not read for too long; counted when a later
    /// packet is read.
    public private(set) var lost = 0

    /// The servers that packets may be to, as in ``NetfilterTable/gateway``.
    public var gateway: GatewayShape?

    let socket: NetlinkSocket
    private var nextNumber: UInt32 = 0

    /// - Parameter group: ``TableShape/logGroup``; only one process can read a group.
    public convenience init(group: UInt16) throws(NetfilterError) {
        try self.init(group: group, receiveBufferBytes: Self.receiveBufferBytes)
    }

    init(group: UInt16, receiveBufferBytes: Int32) throws(NetfilterError) {
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER, isBlocking: false)
        // Without the larger buffer packets are lost sooner; nothing else depends on it.
        socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes)
        let doing = "listening to NFLOG group \(group)"
        do throws(NetfilterError) {
            _ = try socket.askNetfilter(
                doing, subsystem: NFNL_SUBSYS_ULOG, message: NFULNL_MSG_CONFIG.rawValue, flags: NLM_F_ACK,
                family: NFPROTO_UNSPEC, resource: group
            ) { Self.configure(&$0) }
        } catch {
            guard case .failed(_, EPERM, let detail) = error else { throw error }
            let why = "\(detail): another process listens to it, or CAP_NET_ADMIN is missing"
            throw .failed(doing: doing, errno: EPERM, detail: why)
        }
    }

    /// The packets logged since the last call; packets without usable headers are left out.
    public func readEvents() -> [DroppedPacket] {
        var packets: [DroppedPacket] = []
        for _ in 0..<Self.receivesMax {
            switch socket.receive(waits: false) {
            case .bytes(let bytes):
                for message in NetlinkMessages(bytes) where message.type == Self.packetMessage {
                    let (packet, number) = Self.packet(message.netfilterAttributes, gateway)
                    if let number { count(number) }
                    if let packet { packets.append(packet) }
                }
            // The sequence numbers tell how many packets were lost.
            case .failed(ENOBUFS): continue
            case .failed, .nothing: return packets
            }
        }
        return packets
    }

    private static let packetMessage = NFNL_SUBSYS_ULOG << 8 | Int32(NFULNL_MSG_PACKET.rawValue)

    private static func configure(_ request: inout MessageBuffer) {
        request.put(NFULA_CFG_CMD.rawValue, bigEndian: UInt8(NFULNL_CFG_CMD_BIND.rawValue))
        // struct nfulnl_msg_config_mode: the bytes to copy of each packet, the copy mode, padding.
        let mode = UInt64(packetBytesMax) << 16 | UInt64(NFULNL_COPY_PACKET) << 8
        withUnsafeBytes(of: mode.bigEndian) { request.put(NFULA_CFG_MODE.rawValue, $0.dropping(2)) }
        request.put(NFULA_CFG_QTHRESH.rawValue, bigEndian: nextAtOnce.count)
        request.put(NFULA_CFG_TIMEOUT.rawValue, bigEndian: nextAtOnce.centiseconds)
        request.put(NFULA_CFG_FLAGS.rawValue, bigEndian: UInt16(NFULNL_CFG_F_SEQ))
    }

    static func packet(
        _ attributes: Attributes, _ gateway: GatewayShape? = nil
    ) -> (DroppedPacket?, number: UInt32?) {
        var kind: DroppedPacket.Kind?
        var number: UInt32?
        var bytes: [UInt8] = []
        for attribute in attributes {
            switch attribute.type {
            case NFULA_PREFIX.rawValue: kind = DroppedPacket.Kind(rawValue: attribute.payload.text)
            case NFULA_PAYLOAD.rawValue: bytes = Array(attribute.payload)
            case NFULA_SEQ.rawValue: number = attribute.payload.bigEndian(UInt32.self)
            default: break
            }
        }
        // Another prefix: the packet was not logged by rpcwarden's rules.
        return (kind.flatMap { DroppedPacket(bytes, kind: $0, gateway) }, number)
    }

    /// The kernel's numbers include packets that it then fails to send.
    private func count(_ number: UInt32) {
        lost += Int(number &- nextNumber)
        nextNumber = number &+ 1
    }
}
