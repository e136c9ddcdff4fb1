#ifndef CSANDBOX_H
#define CSANDBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CSB_CAP_NET_ADMIN 12

/* Unless stated otherwise, a function returns 0 or errno. */

/* fork(2), which Swift makes unavailable; the process must have one thread. A negative result is -errno. */
pid_t csb_fork(void);

/* Limits the calling thread, and the threads that it starts, to the capabilities in `kept`, permanently: exec does
 * not restore the others either. */
int csb_keep_capabilities(uint64_t kept);

/* Whether the process runs as root, or can become root again. */
int csb_is_roots(void);

/* Changes the whole process to that user, with that group and no other, permanently; the process must have one
 * thread. Capabilities stay permitted until csb_keep_capabilities. */
int csb_become(uid_t user, gid_t group);

/* Clears the ambient set: the capabilities that a program executed by a user other than root would have. */
int csb_clear_ambient(void);

/* Returns EPERM if there are capabilities, and a filter refuses to change them. */
int csb_capabilities_are_fixed(void);

/* Only root may read the process's memory or attach to the process. */
int csb_hide(void);

/* Sets the name that ps shows as comm; the kernel uses the first 15 bytes. */
int csb_name(const char *name);

/* The process gets SIGKILL when the thread that forked it ends. ESRCH: `parent` is not the parent any more. */
int csb_die_with(pid_t parent);

/* Closes every descriptor from 3 on except `one` and `other`, which may be equal. */
int csb_close_all_but(int one, int other);

/* Blocks of at least `bytes_min` bytes are mapped one by one, and unmapped when they are freed. */
int csb_keep_blocks_apart(int bytes_min);

/* Returns free memory to the system. */
void csb_give_back_memory(void);

/* Landlock: from now on this thread, and the threads that it starts, may
 * - with `writable` NULL: read files, and nothing else; no TCP either;
 * - otherwise: read files, and write or create files and sockets beneath these folders only.
 * In both cases nothing can be executed; unless `abstract_sockets`, other processes' abstract unix sockets can't
 * be connected to.
 * ENOSYS: this kernel has no Landlock. */
int csb_landlock(const char *const *writable, size_t count, int abstract_sockets);

/* Seccomp: permits the calls that the netfilter process needs once it has its sockets; all other calls fail with
 * EPERM.
 * ENOSYS: this kernel or this architecture is not supported. */
int csb_seccomp(void);

/* Seccomp: calls that no part of the daemon needs, new processes included, fail with EPERM. Sockets of rare
 * families, and new unix sockets unless `unix_sockets`, fail with EAFNOSUPPORT. Existing threads are not filtered.
 * ENOSYS: this kernel or this architecture is not supported. */
int csb_deny_calls(int unix_sockets);

/* Two connected unix sockets that carry whole messages, closed on exec. */
int csb_packet_sockets(int ends[2]);

/* Sends one message, with `descriptor` unless that is negative. EAGAIN: no room, and `may_wait` is false. */
int csb_send_packet(int end, const void *bytes, size_t count, int descriptor, int may_wait);

/* Waits for one message. Returns its length, even if that exceeds `room`; 0: the peer is gone; a negative result
 * is -errno. `descriptor` becomes the received descriptor, closed on exec, or -1. */
ssize_t csb_receive_packet(int end, void *bytes, size_t room, int *descriptor);

#endif
