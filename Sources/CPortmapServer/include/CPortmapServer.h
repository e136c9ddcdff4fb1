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

/* Sends a datagram that leaves from `source` (IP_PKTINFO, IPV6_PKTINFO), which NIO can't; never blocks.
   `interface` is used for link-local peers only: elsewhere routing decides. Returns 0 or errno. */
int rpcw_send_from(int descriptor, const void *bytes, size_t count, const struct rpcw_address *peer,
                   const struct rpcw_address *source, uint32_t interface);

/* A bound socket, non-blocking and close-on-exec, IPv6 only where it is IPv6; listening if `is_stream`.
   Returns the descriptor, or -errno. */
int rpcw_bound_socket(const struct rpcw_address *at, bool is_stream);

/* Listens, with a queue for a flood of connections. Returns 0 or errno. */
int rpcw_listen(int descriptor);

/* Makes a socket that was passed by systemd fit for use. Returns 0 or errno. */
int rpcw_adopt_socket(int descriptor);

/* The domain (AF_INET, AF_INET6), type (SOCK_STREAM, SOCK_DGRAM) and local address of a socket. Returns 0 or errno. */
int rpcw_describe_socket(int descriptor, bool *is_stream, struct rpcw_address *at);

/* Whether datagrams to the IPv4 address (network order) go to a broadcast address of this host, by its routes. */
bool rpcw_is_broadcast(uint32_t ipv4);

#endif
