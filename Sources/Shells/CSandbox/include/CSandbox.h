#ifndef CSANDBOX_H
#define CSANDBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CSB_CAP_NET_ADMIN 12

/* Each returns 0 or errno. */

/* fork(2), which Swift hides; the process must have one thread. Below 0: -errno. */
pid_t csb_fork(void);

/* Leaves the calling thread, and those that it starts, no more than the capabilities in `kept`, for good:
 * not by exec either. */
int csb_keep_capabilities(uint64_t kept);

/* Whether the process is root's, or could be again. */
int csb_is_roots(void);

/* The whole process becomes that user, with that group and no other, for good; there must be one thread. Capabilities
 * stay permitted until csb_keep_capabilities. */
int csb_become(uid_t user, gid_t group);

/* The ambient set: what a program executed by another user than root would have. */
int csb_clear_ambient(void);

/* EPERM: there are capabilities, and a filter refuses to change them. */
int csb_capabilities_are_fixed(void);

/* Nobody but root may look into the process, or attach to it. */
int csb_hide(void);

/* What ps shows as comm; 15 bytes count. */
int csb_name(const char *name);

/* SIGKILL when the thread that forked ends, or did already. */
int csb_die_with(pid_t parent);

/* Closes every descriptor from 3 on but two, which may be the same. */
int csb_close_all_but(int one, int other);

/* Blocks of so many bytes and more are mapped one by one, and given back when they are freed. */
int csb_keep_blocks_apart(int bytes_min);

/* What is free goes back to the system. */
void csb_give_back_memory(void);

/* Landlock: from now on this thread, and those that it starts, may
 * - with `writable` NULL: read files, and nothing else; no TCP either;
 * - otherwise: read files, and write or make files and sockets beneath these folders alone.
 * Execute nothing in either case; nor, unless `abstract_sockets`, connect to others' abstract unix sockets.
 * ENOSYS: this kernel has no Landlock. */
int csb_landlock(const char *const *writable, size_t count, int abstract_sockets);

/* Seccomp: what the netfilter process needs once it has its sockets; all else fails with EPERM.
 * ENOSYS: not on this kernel, or not for this architecture. */
int csb_seccomp(void);

/* Seccomp: fails what no part of the daemon needs, new processes too, with EPERM; sockets of rare families, and unless `unix_sockets` new
 * unix sockets, with EAFNOSUPPORT. Threads that there are already go on without it.
 * ENOSYS: not on this kernel, or not for this architecture. */
int csb_deny_calls(int unix_sockets);

/* Two connected unix sockets that carry whole messages, closed on exec. */
int csb_packet_sockets(int ends[2]);

/* Sends one message, and a descriptor with it unless that is negative. EAGAIN: there is no room, and it may not wait. */
int csb_send_packet(int end, const void *bytes, size_t count, int descriptor, int may_wait);

/* Waits for one message. Returns its length, also where that is more than `room`; 0: the other side is gone; below 0:
 * -errno. `descriptor` is what came with it, closed on exec, or -1. */
ssize_t csb_receive_packet(int end, void *bytes, size_t room, int *descriptor);

#endif
