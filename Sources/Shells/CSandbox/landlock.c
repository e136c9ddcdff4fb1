#define _GNU_SOURCE
#include "CSandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/landlock.h of 6.12; Debian 12's headers are those of 6.1. */
struct ruleset {
    uint64_t handled_fs, handled_net, scoped;
};
struct __attribute__((packed)) path_beneath {
    uint64_t allowed;
    int32_t parent;
};
enum { RULE_PATH_BENEATH = 1, VERSION_FLAG = 1 };
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_TRUNCATE = 1 << 14,
};
enum { SCOPE_ABSTRACT_UNIX = 1 << 0, SCOPE_SIGNAL = 1 << 1 };
enum { NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1 };

/* All file rights that the version supports: each of these versions added one. */
static uint64_t fs_rights(long version) {
    int count = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    return ((uint64_t)1 << count) - 1;
}

static int allow(int rules, const char *path, uint64_t rights) {
    int folder = open(path, O_PATH | O_CLOEXEC);
    if (folder < 0) return errno;
    struct path_beneath rule = {rights, folder};
    int number = syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : errno;
    close(folder);
    return number;
}

static int allow_all(int rules, uint64_t rights, const char *const *writable, size_t count) {
    if (writable == NULL) return allow(rules, "/", FS_READ_FILE | FS_READ_DIR);
    int number = 0;
    for (size_t index = 0; index < count && number == 0; index++) number = allow(rules, writable[index], rights);
    return number;
}

int csb_landlock(const char *const *writable, size_t count, int abstract_sockets) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
    /* EOPNOTSUPP: Landlock was turned off at boot. EPERM: an outer filter that does not know the call. */
    if (version < 0) return errno == EOPNOTSUPP || errno == EPERM ? ENOSYS : errno;
    struct ruleset set = {fs_rights(version), 0, version >= 6 ? SCOPE_SIGNAL : 0};
    if (writable == NULL) {
        if (version >= 4) set.handled_net = NET_BIND_TCP | NET_CONNECT_TCP;
    } else {
        set.handled_fs &= ~(uint64_t)(FS_READ_FILE | FS_READ_DIR);
    }
    if (version >= 6 && !abstract_sockets) set.scoped |= SCOPE_ABSTRACT_UNIX;
    uint64_t rights = FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG | FS_MAKE_SOCK | FS_TRUNCATE;
    /* The part of the structure that an older kernel does not know must be zero. */
    int rules = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof set, 0);
    if (rules < 0) return errno;
    int number = allow_all(rules, rights & set.handled_fs, writable, count);
    if (number == 0 && syscall(SYS_landlock_restrict_self, rules, 0) != 0) number = errno;
    close(rules);
    return number;
}
