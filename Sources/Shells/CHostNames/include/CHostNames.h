#ifndef RPCWARDEN_CHOSTNAMES_H
#define RPCWARDEN_CHOSTNAMES_H

#include <stdint.h>

/* The smallest TTL, in seconds, of the name's A and AAAA records in the DNS; 0 where the DNS doesn't say.
   Blocks for as long as the resolver may take. */
uint32_t rpcw_name_ttl(const char *name);

#endif
