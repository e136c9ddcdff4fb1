#ifndef RPCWARDEN_CPORTMAPSERVER_H
#define RPCWARDEN_CPORTMAPSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An address as 4 or 16 bytes in network order. */
struct rpcw_address {
    uint8_t bytes[16];
    uint16_t port; /* host order */
    bool is_ipv6;
};

/* A datagram that was received; `bytes` is good until the next are received. */
struct rpcw_datagram {
    const void *bytes;
    size_t count;
    struct rpcw_address peer;
    struct rpcw_address asked; /* its port is 0 */
    uint32_t interface;
};

/* A call has some 800 bytes at the most; what is longer is cut, and then is no call. */
enum { RPCW_DATAGRAM_BYTES = 2048 };

/* Datagrams that one system call took from a socket. */
struct rpcw_inbox;
enum { RPCW_INBOX_MESSAGES = 64 };

/* An inbox of the socket; aborts without memory. */
struct rpcw_inbox *rpcw_inbox_create(int descriptor);

/* Takes what waits, never blocking; returns how many, at the most RPCW_INBOX_MESSAGES. What has no sender or no known
   destination is left out. */
size_t rpcw_inbox_receive(struct rpcw_inbox *inbox);

const struct rpcw_datagram *rpcw_inbox_datagrams(const struct rpcw_inbox *inbox);

void rpcw_inbox_destroy(struct rpcw_inbox *inbox);

/* Datagrams that wait to be sent by one system call; each leaves from an address of its own choice (IP_PKTINFO,
   IPV6_PKTINFO), which NIO can't. */
struct rpcw_outbox;

/* An outbox of the socket; aborts without memory. */
struct rpcw_outbox *rpcw_outbox_create(int descriptor);

/* Puts a datagram to `peer` in, which is to leave from `source`; what has no room any more goes out at once.
   `interface` is used for link-local peers only: elsewhere routing decides. */
void rpcw_outbox_put(struct rpcw_outbox *outbox, const void *bytes, size_t count, const struct rpcw_address *peer,
                     const struct rpcw_address *source, uint32_t interface);

/* Sends all; never blocks: what the kernel doesn't take is lost, as any datagram may be. */
void rpcw_outbox_flush(struct rpcw_outbox *outbox);

void rpcw_outbox_destroy(struct rpcw_outbox *outbox);

/* A bound socket, non-blocking and close-on-exec, IPv6 only where it is IPv6; listening if `is_stream`.
   Returns the descriptor, or -errno. */
int rpcw_bound_socket(const struct rpcw_address *at, bool is_stream);

/* Listens, with a queue for a flood of connections. Returns 0 or errno. */
int rpcw_listen(int descriptor);

/* Makes a socket that was passed by systemd fit for use. Returns 0 or errno. */
int rpcw_adopt_socket(int descriptor);

/* The domain (AF_INET, AF_INET6), type (SOCK_STREAM, SOCK_DGRAM) and local address of a socket. Returns 0 or errno. */
int rpcw_describe_socket(int descriptor, bool *is_stream, struct rpcw_address *at);

/* An address of this host; `interface` is 0 where it is the same at each of them. */
struct rpcw_own_address {
    struct rpcw_address address; /* its port is 0 */
    uint32_t interface;
};

/* What one filter has room for, within net.core.optmem_max as old kernels have it. */
enum { RPCW_OWN_ADDRESSES_IPV4 = 256, RPCW_OWN_ADDRESSES_IPV6 = 64 };

/* A netlink socket for rpcw_is_own; returns the descriptor, or -errno. */
int rpcw_routes_open(void);

/* Whether the address is one of this host's, by its routes. `interface` (0: none) is the peer's, where addresses mean
   something else at each of them: link-local ones, and those of a VRF. */
bool rpcw_is_own(int routes, const struct rpcw_address *address, uint32_t interface);

/* A netlink socket that becomes readable when this host's addresses change; returns the descriptor, or -errno. */
int rpcw_addresses_watch(void);

/* Whether they have changed since the last time. */
bool rpcw_addresses_changed(int watch);

/* Reads this host's addresses of one family, at the most `count`; returns how many, or -errno. */
int rpcw_own_addresses(bool is_ipv6, struct rpcw_own_address *addresses, size_t count);

/* Has the kernel judge a UDP socket's datagrams before they take room in its buffer:
   - what claims to come from one of `addresses`, which are of the socket's family, or from 127/8, and didn't come by the
     loopback interface is dropped;
   - of what came by it, one in 2 to the power of `thinning` is let through.
   Returns 0 or errno. */
int rpcw_filter_datagrams(int descriptor, bool is_ipv6, const struct rpcw_own_address *addresses, size_t count,
                          uint32_t thinning);

/* Whether a datagram waits in the socket. */
bool rpcw_is_readable(int descriptor);

/* Whether datagrams to the IPv4 address (network order) go to a broadcast address of this host, by its routes. */
bool rpcw_is_broadcast(uint32_t ipv4);

#endif
