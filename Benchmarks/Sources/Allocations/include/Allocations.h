#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include <stdint.h>

/* How often memory was asked for, since the start. */
uint64_t allocations_count(void);

#endif
