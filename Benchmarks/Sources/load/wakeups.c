#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* As long as a commit of one grant, and its acknowledgement, between rpcwarden's two processes. */
enum { CALL_BYTES = 144, REPLY_BYTES = 12 };

static void answer(int descriptor)
{
    char bytes[CALL_BYTES];
    while (recv(descriptor, bytes, CALL_BYTES, MSG_WAITALL) == CALL_BYTES)
        if (send(descriptor, bytes, REPLY_BYTES, MSG_NOSIGNAL) != REPLY_BYTES)
            break;
    _exit(0);
}

/* What it costs to wake another process and to be woken by it: a message there and one back, and nothing else. */
int run_wakeups(const struct options *options)
{
    struct timespec pause = { .tv_nsec = 1000l * options->pause_us };
    struct tally tally = { 0 };
    char bytes[CALL_BYTES] = { 0 };
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("socketpair");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(ends[0]);
        answer(ends[1]);
    }
    close(ends[1]);
    uint64_t started = now_ns();
    for (uint64_t i = 0; i < options->calls; i++) {
        if (options->pause_us)
            nanosleep(&pause, NULL);
        uint64_t sent = now_ns();
        tally.sent++;
        if (send(ends[0], bytes, CALL_BYTES, MSG_NOSIGNAL) != CALL_BYTES ||
            recv(ends[0], bytes, REPLY_BYTES, MSG_WAITALL) != REPLY_BYTES)
            die("socketpair");
        count_reply(&tally, (uint8_t *)bytes, REPLY_BYTES, now_ns() - sent);
    }
    tally.seconds = (double)(now_ns() - started) / 1e9;
    close(ends[0]);
    waitpid(child, NULL, 0);
    print_tally(&tally);
    return 0;
}
