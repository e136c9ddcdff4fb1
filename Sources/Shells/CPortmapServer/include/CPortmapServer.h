#ifndef RPCWARDEN_CPORTMAPSERVER_H
#define RPCWARDEN_CPORTMAPSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An address of 4 or 16 bytes in network order. */
struct rpcw_address {
    uint8_t bytes[16];
    uint16_t port; /* host order */
    bool is_ipv6;
};

/* A received datagram; `bytes` is valid until the next rpcw_inbox_receive. */
struct rpcw_datagram {
    const void *bytes;
    size_t count;
    struct rpcw_address peer;
    struct rpcw_address asked; /* its port is 0 */
    uint32_t interface;
};

/* A call has at most about 800 bytes. A longer datagram is truncated, and then is not a valid call. */
enum { RPCW_DATAGRAM_BYTES = 2048 };

/* The datagrams that one system call received from a socket. */
struct rpcw_inbox;
enum { RPCW_INBOX_MESSAGES = 64 };

/* Creates an inbox for the socket; aborts if there is no memory. */
struct rpcw_inbox *rpcw_inbox_create(int descriptor);

/* Receives the waiting datagrams without blocking; returns their number, at most RPCW_INBOX_MESSAGES. Datagrams
   without a sender or a known destination address are left out. */
size_t rpcw_inbox_receive(struct rpcw_inbox *inbox);

const struct rpcw_datagram *rpcw_inbox_datagrams(const struct rpcw_inbox *inbox);

void rpcw_inbox_destroy(struct rpcw_inbox *inbox);

/* Datagrams to send with one system call. Each has its own source address (IP_PKTINFO, IPV6_PKTINFO), which NIO
   does not support. */
struct rpcw_outbox;

/* Creates an outbox for the socket; aborts if there is no memory. */
struct rpcw_outbox *rpcw_outbox_create(int descriptor);

/* Adds a datagram to `peer` with the source address `source`; a full outbox is flushed. `interface` is used for
   link-local peers only: for other peers, routing selects the interface. */
void rpcw_outbox_put(struct rpcw_outbox *outbox, const void *bytes, size_t count, const struct rpcw_address *peer,
                     const struct rpcw_address *source, uint32_t interface);

/* Sends all datagrams without blocking. Datagrams that the kernel does not accept are lost. */
void rpcw_outbox_flush(struct rpcw_outbox *outbox);

void rpcw_outbox_destroy(struct rpcw_outbox *outbox);

/* Creates a bound socket, non-blocking and close-on-exec, IPv6-only if the address is IPv6; listening if
   `is_stream`. Returns the descriptor, or -errno. */
int rpcw_bound_socket(const struct rpcw_address *at, bool is_stream);

/* Listens, with a backlog sized for a flood of connections. Returns 0 or errno. */
int rpcw_listen(int descriptor);

/* Sets the options that the server needs on a socket that systemd passed. Returns 0 or errno. */
int rpcw_adopt_socket(int descriptor);

/* Has the socket take what is sent to addresses that aren't this host's, and send with these as source
   (IP_TRANSPARENT, IPV6_TRANSPARENT). Needs CAP_NET_ADMIN or CAP_NET_RAW, unless the socket is transparent already:
   sending needs neither. Returns 0 or errno. */
int rpcw_make_transparent(int descriptor, bool is_ipv6);

/* The domain (AF_INET, AF_INET6), type (SOCK_STREAM, SOCK_DGRAM) and local address of a socket. Returns 0 or errno. */
int rpcw_describe_socket(int descriptor, bool *is_stream, struct rpcw_address *at);

/* An address of this host; `interface` is 0 if the address is valid at each interface. */
struct rpcw_own_address {
    struct rpcw_address address; /* its port is 0 */
    uint32_t interface;
};

/* The capacity of one filter, within the default of net.core.optmem_max of old kernels. */
enum { RPCW_OWN_ADDRESSES_IPV4 = 256, RPCW_OWN_ADDRESSES_IPV6 = 64 };

/* Opens a netlink socket for rpcw_is_own; returns the descriptor, or -errno. */
int rpcw_routes_open(void);

/* Whether the address belongs to this host, by its routes. `interface` (0: none) is the peer's interface; it
   matters for addresses with a meaning per interface: link-local ones, and those of a VRF. */
bool rpcw_is_own(int routes, const struct rpcw_address *address, uint32_t interface);

/* Opens a netlink socket that becomes readable when this host's addresses change; returns the descriptor, or
   -errno. */
int rpcw_addresses_watch(void);

/* Whether the addresses have changed since the last call. */
bool rpcw_addresses_changed(int watch);

/* Reads at most `count` addresses of one family of this host; returns their number, or -errno. */
int rpcw_own_addresses(bool is_ipv6, struct rpcw_own_address *addresses, size_t count);

/* Attaches a filter to a UDP socket, with which the kernel judges datagrams before they take room in its buffer:
   - A datagram from one of `addresses`, which are of the socket's family, or from 127/8 is dropped if it didn't
     arrive by the loopback interface.
   - Of the datagrams that arrive by the loopback interface, one in 2 to the power of `thinning` is accepted.
   Returns 0 or errno. */
int rpcw_filter_datagrams(int descriptor, bool is_ipv6, const struct rpcw_own_address *addresses, size_t count,
                          uint32_t thinning);

/* Whether a datagram waits in the socket. */
bool rpcw_is_readable(int descriptor);

/* Whether the IPv4 address (network order) is a broadcast address of this host, by its routes. */
bool rpcw_is_broadcast(uint32_t ipv4);

#endif
