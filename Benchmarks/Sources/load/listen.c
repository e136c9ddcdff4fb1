#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A dual-stack socket listens for IPv4 too. */
static void listen_at(uint16_t port, int type)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int descriptor = socket(AF_INET6, type, 0), one = 1;
    if (descriptor < 0)
        die("socket");
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(descriptor, (const struct sockaddr *)&any, sizeof any) < 0)
        die("bind");
    if (type == SOCK_STREAM && listen(descriptor, 16) < 0)
        die("listen");
}

/* Sends each message, a registration, and looks that it was accepted. */
static void tell(const struct options *options)
{
    int descriptor = unix_stream(options->socket_path);
    for (size_t i = 0; i < options->message_count; i++) {
        struct message *message = &options->messages[i];
        uint8_t mark[4], reply[256];
        put_xid(mark, 0x80000000u | (uint32_t)message->count);
        put_xid(message->bytes, (uint32_t)i + 1);
        if (write(descriptor, mark, 4) != 4 || write(descriptor, message->bytes, message->count) < 0)
            die("rpcbind's socket");
        read_whole(descriptor, mark, 4);
        size_t count = get_word(mark) & 0x7fffffff;
        if (count > sizeof reply)
            die("a long reply");
        read_whole(descriptor, reply, count);
        if (count != 28 || get_word(reply + 24) != 1)
            fprintf(stderr, "load: registration %zu was refused\n", i);
    }
    close(descriptor);
}

/* Stands in for services: listens at N ports over both transports, and registers what the messages say. */
int run_listen(const struct options *options)
{
    struct rlimit limit = { 65536, 65536 };
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    const struct sockaddr_in *first = (const struct sockaddr_in *)&options->to;
    for (unsigned i = 0; i < options->count; i++) {
        listen_at((uint16_t)(ntohs(first->sin_port) + i), SOCK_STREAM);
        listen_at((uint16_t)(ntohs(first->sin_port) + i), SOCK_DGRAM);
    }
    tell(options);
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}
