#define _GNU_SOURCE
#include "load.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* As long as a commit of one grant, and its acknowledgement, between rpcwarden's two processes. */
enum { CALL_BYTES = 144, REPLY_BYTES = 12 };

static void answer(int input, int output)
{
    char bytes[CALL_BYTES];
    while (read(input, bytes, CALL_BYTES) == CALL_BYTES)
        if (write(output, bytes, REPLY_BYTES) != REPLY_BYTES)
            break;
    _exit(0);
}

/* What it costs to wake another process and to be woken by it: a message there and one back, and nothing else. */
int run_wakeups(const struct options *options)
{
    struct timespec pause = { .tv_nsec = 1000l * options->pause_us };
    struct tally tally = { 0 };
    char bytes[CALL_BYTES] = { 0 };
    int there[2], back[2];
    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        answer(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    struct pollfd reply = { .fd = back[0], .events = POLLIN };
    uint64_t started = now_ns();
    for (uint64_t i = 0; i < options->calls; i++) {
        if (options->pause_us)
            nanosleep(&pause, NULL);
        uint64_t sent = now_ns();
        tally.sent++;
        if (write(there[1], bytes, CALL_BYTES) != CALL_BYTES || poll(&reply, 1, -1) != 1 ||
            read(back[0], bytes, REPLY_BYTES) != REPLY_BYTES)
            die("pipe");
        count_reply(&tally, (uint8_t *)bytes, REPLY_BYTES, now_ns() - sent);
    }
    tally.seconds = (double)(now_ns() - started) / 1e9;
    close(there[1]);
    waitpid(child, NULL, 0);
    print_tally(&tally);
    return 0;
}
