#define _GNU_SOURCE
#include "CNetfilter.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

const char *cnf_errno_text(int number) {
    return strerrordesc_np(number);
}

int cnf_kernel_version(void) {
    struct utsname name;
    int major, minor;
    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2 || major < 0 || minor < 0 ||
        minor > 999 || major > 1000) {
        return 0;
    }
    return major * 1000 + minor;
}
