#ifndef CSANDBOX_FILTER_H
#define CSANDBOX_FILTER_H

/* Definitions for both seccomp filters. */

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Loads the low half of an argument; both supported architectures are little-endian. */
#define LOAD_ARGUMENT(number) LOAD(args[number])
#define RETURN(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)
#define DENIED RETURN(SECCOMP_RET_ERRNO | EPERM)

/* Kills the process on a foreign architecture, because call numbers differ between architectures; then loads the
   number. Four instructions. */
#define LOAD_CALL_NUMBER \
    LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr)

/* Returns 0 or errno; ENOSYS: the kernel was built without seccomp. */
static inline int load_filter(struct sock_filter *filter, unsigned short count) {
    struct sock_fprog program = {count, filter};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return 0;
    return errno == EINVAL ? ENOSYS : errno;
}

#endif
