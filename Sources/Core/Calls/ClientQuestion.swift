import Addresses
import Portmapper

/// A question to the portmapper of a client, which a server behind this host wants to call back. Equal questions may
/// share one answer, a port; 0: not registered.
public struct ClientQuestion: TableKey, Sendable {
    public var client: IPAddress
    /// The transport of the question: the one over which the server asked.
    public var transport: Transport
    public var program: Program
    public var version: UInt32
    /// The transport of the service.
    public var serviceTransport: Transport

    /// `nil` if the server looks up nothing that a client of this address has.
    /// - Parameter transport: of the server's call.
    public init?(_ lookUp: LookUp, of client: IPAddress, over transport: Transport) {
        guard let serviceTransport = lookUp.netID.transport, lookUp.netID.isIPv4 == client.isIPv4 else { return nil }
        self.client = client
        self.transport = transport
        (program, version) = (lookUp.program, lookUp.version)
        self.serviceTransport = serviceTransport
    }

    /// Version 2 knows nothing of IPv6, and each portmapper that does has version 3.
    public var call: PortmapperCall {
        if client.isIPv4 {
            return .getPort(
                Mapping(
                    program: program, version: version, protocolNumber: UInt32(serviceTransport.rawValue), port: 0))
        }
        let netID = NetID(serviceTransport, isIPv4: false)
        return .getAddress(
            .v3, RPCB(program: program, version: version, netID: netID.rawValue, address: "", owner: ""))
    }

    public func combine(into hash: inout TableHash) {
        client.combine(into: &hash)
        hash.combine(UInt64(program.rawValue) << 32 | UInt64(version))
        hash.combine(UInt64(transport.rawValue) << 8 | UInt64(serviceTransport.rawValue))
    }
}
