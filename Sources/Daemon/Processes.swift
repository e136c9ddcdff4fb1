/// The other processes of the daemon, as seen by the network-facing process.
struct Processes {
    let connector: ConnectorClient
    let netfilter: NetfilterClient

    /// Why one of the processes can't be asked any more.
    var loss: String? { netfilter.loss ?? connector.loss }

    func whenLost(_ tell: @escaping (_ loss: String) -> Void) {
        netfilter.lost = { [unowned netfilter] in tell(netfilter.loss ?? "") }
        connector.lost = { [unowned connector] in tell(connector.loss ?? "") }
    }
}
