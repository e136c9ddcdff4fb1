#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

void put_xid(uint8_t *bytes, uint32_t xid)
{
    xid = htonl(xid);
    memcpy(bytes, &xid, 4);
}

uint32_t get_word(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, 4);
    return ntohl(word);
}

/* RFC 5531: xid, REPLY, reply_stat, verifier (flavor, length 0), accept_stat, results. */
void count_reply(struct tally *tally, const uint8_t *bytes, size_t count, uint64_t latency_ns)
{
    tally->answered++;
    if (count >= 24 && get_word(bytes + 4) == 1 && get_word(bytes + 8) == 0 && get_word(bytes + 20) == 0) {
        tally->accepted++;
        if (count == 28 && get_word(bytes + 24) == 0)
            tally->empty++;
    } else if (count >= 12 && get_word(bytes + 8) == 1) {
        tally->denied++;
    }
    if (tally->latency_count == tally->latency_capacity) {
        tally->latency_capacity = tally->latency_capacity ? 2 * tally->latency_capacity : 1 << 16;
        tally->latencies = realloc(tally->latencies, tally->latency_capacity * sizeof *tally->latencies);
        if (!tally->latencies)
            die("memory");
    }
    if (latency_ns > tally->longest)
        tally->longest = latency_ns;
    tally->latencies[tally->latency_count++] = latency_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_ns;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t quantile(const struct tally *tally, double q)
{
    if (!tally->latency_count)
        return 0;
    size_t index = (size_t)(q * (double)tally->latency_count);
    return tally->latencies[index < tally->latency_count ? index : tally->latency_count - 1];
}

void print_tally(struct tally *tally)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    if (tally->latency_count)
        qsort(tally->latencies, tally->latency_count, sizeof *tally->latencies, ascending);
    printf("{\"sent\": %lu, \"answered\": %lu, \"accepted\": %lu, \"denied\": %lu, \"empty\": %lu, \"lost\": %lu, "
           "\"seconds\": %.6f, \"p50\": %u, \"p99\": %u, \"p999\": %u, \"max\": %lu, \"cpu\": %.6f}\n",
           tally->sent, tally->answered, tally->accepted, tally->denied, tally->empty, tally->lost, tally->seconds,
           quantile(tally, 0.5), quantile(tally, 0.99), quantile(tally, 0.999), tally->longest, cpu);
    fflush(stdout);
}

size_t put_source(const struct options *options, uint32_t number, void *control)
{
    struct cmsghdr *header = control;
    if (options->source.ss_family == AF_INET) {
        const struct sockaddr_in *first = (const struct sockaddr_in *)&options->source;
        struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(ntohl(first->sin_addr.s_addr) + number) };
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    const struct sockaddr_in6 *first = (const struct sockaddr_in6 *)&options->source;
    struct in6_pktinfo info = { .ipi6_addr = first->sin6_addr };
    uint32_t low;
    memcpy(&low, info.ipi6_addr.s6_addr + 12, 4);
    low = htonl(ntohl(low) + number);
    memcpy(info.ipi6_addr.s6_addr + 12, &low, 4);
    header->cmsg_level = IPPROTO_IPV6;
    header->cmsg_type = IPV6_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
}

int udp_socket(const struct options *options)
{
    int descriptor = socket(options->to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        die("socket");
    int bytes = 8 << 20;
    (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    return descriptor;
}

int unix_stream(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || connect(descriptor, (const struct sockaddr *)&to, sizeof to) < 0)
        die(path);
    return descriptor;
}

void read_whole(int descriptor, uint8_t *bytes, size_t count)
{
    while (count) {
        ssize_t got = read(descriptor, bytes, count);
        if (got <= 0)
            die("rpcbind's socket");
        bytes += got;
        count -= (size_t)got;
    }
}
