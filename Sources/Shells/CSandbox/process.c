#define _GNU_SOURCE
#include "CSandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t csb_fork(void) {
    pid_t child = fork();
    return child < 0 ? -errno : child;
}

/* Without CAP_SETPCAP the bounding set stays; no_new_privs then has to suffice. */
static int empty_bounding_set(void) {
    for (int capability = 0; capability < 64; capability++) {
        /* EINVAL: the number is above this kernel's last capability. */
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return errno == EINVAL ? 0 : errno;
    }
    return 0;
}

static int may(int capability) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct words[2];
    return syscall(SYS_capget, &header, words) == 0 && words[0].effective >> capability & 1;
}

int csb_is_roots(void) {
    uid_t users[3];
    return getresuid(&users[0], &users[1], &users[2]) != 0 || users[0] == 0 || users[1] == 0 || users[2] == 0;
}

static int is_user(uid_t user, gid_t group) {
    uid_t users[3];
    gid_t groups[3];
    if (getresuid(&users[0], &users[1], &users[2]) != 0 || getresgid(&groups[0], &groups[1], &groups[2]) != 0) return 0;
    for (int kind = 0; kind < 3; kind++) {
        if (users[kind] != user || groups[kind] != group) return 0;
    }
    return getgroups(0, NULL) == 0;
}

int csb_become(uid_t user, gid_t group) {
    int number = may(CAP_SETPCAP) ? empty_bounding_set() : 0;
    if (number != 0) return number;
    if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0) return errno;
    /* csb_keep_capabilities selects the permitted capabilities later. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setresuid(user, user, user) != 0) return errno;
    return is_user(user, group) ? 0 : EPERM;
}

int csb_clear_ambient(void) {
    /* EINVAL: kernels before 4.3 have no ambient set. */
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 || errno == EINVAL ? 0 : errno;
}

int csb_capabilities_are_fixed(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct words[2];
    if (syscall(SYS_capget, &header, words) != 0) return errno;
    if ((words[0].permitted | words[1].permitted) == 0) return 0;
    return syscall(SYS_capset, &header, words) == 0 ? 0 : errno;
}

static int has_no_more_than(uint64_t kept, const struct __user_cap_data_struct words[2]) {
    uint64_t has = words[0].permitted | (uint64_t)words[1].permitted << 32;
    return (has & ~kept) == 0;
}

int csb_keep_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct words[2];
    if (syscall(SYS_capget, &header, words) != 0) return errno;
    if (words[0].effective >> CAP_SETPCAP & 1) {
        int number = empty_bounding_set();
        if (number != 0) return number;
    }
    int number = csb_clear_ambient();
    if (number != 0) return number;
    int is_done = has_no_more_than(kept, words);
    for (int word = 0; word < 2; word++) {
        words[word].permitted &= (uint32_t)(kept >> 32 * word);
        words[word].effective = words[word].permitted;
        words[word].inheritable = 0;
    }
    /* A filter may refuse the call. Inheritable capabilities then stay. They have an effect only with files that
     * have inheritable capabilities, and under no_new_privs those files grant none. */
    if (syscall(SYS_capset, &header, words) != 0 && !(is_done && errno == EPERM)) return errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

int csb_hide(void) {
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : errno;
}

int csb_name(const char *name) {
    return prctl(PR_SET_NAME, name, 0, 0, 0) == 0 ? 0 : errno;
}

int csb_die_with(pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return errno;
    return getppid() == parent ? 0 : ESRCH;
}

static int close_between(unsigned first, unsigned last) {
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return 0;
    if (errno != ENOSYS) return errno;
    /* Fallback for kernels before 5.9. */
    long limit = sysconf(_SC_OPEN_MAX);
    for (unsigned number = first; number <= last && (long)number < limit; number++) close((int)number);
    return 0;
}

int csb_close_all_but(int one, int other) {
    unsigned first = (unsigned)(one < other ? one : other), last = (unsigned)(one < other ? other : one);
    int number = close_between(3, first - 1);
    if (number == 0) number = close_between(first + 1, last - 1);
    return number != 0 ? number : close_between(last + 1, ~0u);
}

/* Otherwise glibc takes ever larger blocks from its heaps, which shrink only at their ends. */
int csb_keep_blocks_apart(int bytes_min) {
    return mallopt(M_MMAP_THRESHOLD, bytes_min) == 1 ? 0 : EINVAL;
}

void csb_give_back_memory(void) {
    malloc_trim(0);
}
