#ifndef RPCWARDEN_CHOSTNAMES_H
#define RPCWARDEN_CHOSTNAMES_H

#include <stdbool.h>
#include <stdint.h>

/* The smallest TTL, in seconds, of the name's A and AAAA records in the DNS; 0 where the DNS doesn't say.
   The search list isn't applied.
   Blocks for as long as the resolver may take. */
uint32_t rpcw_name_ttl(const char *name);

/* Whether an error of getaddrinfo(3) tells that there is no such address, as opposed to a failure of the resolver. */
bool rpcw_tells_absence(int code);

/* Whether the name is in the line, in whatever case. */
bool rpcw_mentions(const char *line, const char *name);

#endif
