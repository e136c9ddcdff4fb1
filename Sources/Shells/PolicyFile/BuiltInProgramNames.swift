import Policy

extension ProgramNames {
    /// The part of rpc(5) that rpcwarden's users need, for hosts without `/etc/rpc`.
    static let builtIn = ProgramNames(
        etcRPC: """
            portmapper 100000 portmap sunrpc rpcbind
            rstatd 100001 rstat rup perfmeter rstat_svc
            rusersd 100002 rusers
            nfs 100003 nfsprog
            ypserv 100004 ypprog
            mountd 100005 mount showmount
            ypbind 100007
            walld 100008 rwall shutdown
            yppasswdd 100009 yppasswd
            rquotad 100011 rquotaprog quota rquota
            sprayd 100012 spray
            llockmgr 100020
            nlockmgr 100021
            status 100024
            bootparam 100026
            ypupdated 100028 ypupdate
            keyserv 100029 keyserver
            ypxfrd 100069
            nfs_acl 100227
            pcnfsd 150001
            amd 300019 amq
            fypxfrd 600100069 freebsd-ypxfrd
            """)
}
