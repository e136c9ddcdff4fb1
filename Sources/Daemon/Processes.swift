/// The other processes of the daemon, as the network-facing one knows them.
struct Processes {
    let connector: ConnectorClient
    let netfilter: NetfilterClient

    /// Why one of them can't be asked any more.
    var loss: String? { netfilter.loss ?? connector.loss }

    func whenLost(_ tell: @escaping (_ loss: String) -> Void) {
        netfilter.lost = { [unowned netfilter] in tell(netfilter.loss ?? "") }
        connector.lost = { [unowned connector] in tell(connector.loss ?? "") }
    }
}
