#define _GNU_SOURCE
#include "CNetfilter.h"

#include <string.h>

const char *cnf_errno_text(int number) {
    return strerrordesc_np(number);
}
