#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include <stddef.h>

/* Of the allocations since the last call: the largest, in bytes. */
size_t allocations_take_largest(void);

#endif
