#include "CSandbox.h"

#include "filter.h"

#include <asm/ioctls.h>
#include <linux/sched.h>
#include <sys/socket.h>

#ifdef ARCHITECTURE

#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)

/* System call numbers missing in Debian 12's headers; the same on all architectures. */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#ifndef __NR_quotactl_fd
#define __NR_quotactl_fd 443
#endif

/* System calls that neither the daemon nor its libraries need, and that an attacker in control of it does. */
static const int denied[] = {
    /* Execution and other processes. */
    __NR_execve, __NR_execveat,
#ifdef __NR_fork
    __NR_fork, __NR_vfork,
#endif
    __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_process_madvise,
    __NR_kcmp, __NR_pidfd_open, __NR_pidfd_getfd, __NR_pidfd_send_signal,
    /* Namespaces and mounts. */
    __NR_unshare, __NR_setns, __NR_chroot, __NR_pivot_root, __NR_mount, __NR_umount2, __NR_move_mount, __NR_open_tree,
    __NR_fsopen, __NR_fsconfig, __NR_fsmount, __NR_fspick, __NR_mount_setattr, __NR_name_to_handle_at,
    __NR_open_by_handle_at, __NR_fanotify_init, __NR_swapon, __NR_swapoff, __NR_quotactl, __NR_quotactl_fd, __NR_acct,
    /* Kernel subsystems with a large attack surface. io_uring makes system calls that no filter sees. */
    __NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register, __NR_bpf, __NR_perf_event_open, __NR_userfaultfd,
    __NR_keyctl, __NR_add_key, __NR_request_key, __NR_init_module, __NR_finit_module, __NR_delete_module,
    __NR_kexec_load, __NR_kexec_file_load, __NR_reboot, __NR_syslog, __NR_personality, __NR_vhangup, __NR_move_pages,
    __NR_migrate_pages, __NR_sethostname, __NR_setdomainname, __NR_settimeofday, __NR_clock_settime, __NR_clock_adjtime,
    __NR_adjtimex,
    /* Other owners of files. With the drop-in of rpcwarden-fleet the unit permits these calls, for fleet.sock. */
    __NR_fchownat, __NR_fchown,
#ifdef __NR_chown
    __NR_chown, __NR_lchown,
#endif
    /* Memory and queues that can be shared with other processes of the same user. */
    __NR_shmget, __NR_shmat, __NR_msgget, __NR_semget, __NR_mq_open,
#ifdef __x86_64__
    __NR_iopl, __NR_ioperm, __NR_modify_ldt,
#endif
};

enum {
    NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID
        | CLONE_NEWNET,
    X32 = 0x40000000,
    NO_FAMILY = SECCOMP_RET_ERRNO | EAFNOSUPPORT,
    BEFORE = 6,
    EACH = 2,
    BEHIND = 23,
};

int csb_deny_calls(int unix_sockets) {
    struct sock_filter filter[BEFORE + EACH * LENGTH(denied) + BEHIND] = {
        LOAD_CALL_NUMBER,
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1),
        DENIED,
    };
    struct sock_filter *next = filter + BEFORE;
    for (unsigned index = 0; index < LENGTH(denied); index++) {
        *next++ = (struct sock_filter)UNLESS((unsigned)denied[index], 1);
        *next++ = (struct sock_filter)DENIED;
    }
    const struct sock_filter behind[BEHIND] = {
        /* What is typed into the terminal that the daemon was started from, its user's shell executes. The kernel
           reads the low half of the argument alone. */
        UNLESS(__NR_ioctl, 5),
        LOAD_ARGUMENT(1),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1),
        DENIED,
        RETURN(SECCOMP_RET_ALLOW),
        /* clone3's flags are in memory, which a filter can't read; on ENOSYS the C library uses clone(2). */
        UNLESS(__NR_clone3, 1),
        RETURN(SECCOMP_RET_ERRNO | ENOSYS),
        /* Threads only. */
        UNLESS(__NR_clone, 4),
        LOAD_ARGUMENT(0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 10, 0),
        DENIED,
        /* Unix sockets are the one family with pairs. A pair's end could be connected to another process's socket.
           */
        UNLESS(__NR_socketpair, 1),
        RETURN(unix_sockets ? SECCOMP_RET_ALLOW : NO_FAMILY),
        /* Internet and netlink sockets, and unix sockets if they are needed; no other family. */
        UNLESS(__NR_socket, 6),
        LOAD_ARGUMENT(0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, unix_sockets ? 1 : 0, 0),
        RETURN(NO_FAMILY),
        RETURN(SECCOMP_RET_ALLOW),
    };
    for (unsigned index = 0; index < BEHIND; index++) *next++ = behind[index];
    return load_filter(filter, LENGTH(filter));
}

#else

int csb_deny_calls(int unix_sockets) {
    (void)unix_sockets;
    return ENOSYS;
}

#endif
