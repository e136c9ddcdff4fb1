#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: load udp|tcp|flood --to ADDRESS --port PORT --messages FILE [--in-flight N] [--connections N]\n"
    "                          [--seconds S] [--calls N] [--sources FIRST/COUNT] [--patience MS]\n"
    "                          [--rate CALLS-A-SECOND]\n"
    "       load wakeups --calls N [--pause US]\n"
    "       load transactions --to 0.0.0.0 --port PORT|0 --count N|0 --sources FIRST/COUNT --calls N [--pause US]\n"
    "       load echo|sink --to ADDRESS --port PORT\n"
    "       load relay --to ADDRESS --port PORT --socket RPCBIND-SOCKET\n"
    "       load listen --to ADDRESS --port FIRST --count N --socket RPCBIND-SOCKET --messages FILE\n"
    "SIGTERM ends udp before its time. FILE has one message in hexadecimal a line; the result is one JSON object.\n";

_Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "load: %s: %s\n%s", what, value, usage);
    exit(2);
}

static socklen_t parse_address(const char *text, uint16_t port, struct sockaddr_storage *address)
{
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = htons(port);
        return sizeof *ipv4;
    }
    if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1) {
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons(port);
        return sizeof *ipv6;
    }
    refuse("not an address", text);
    return 0;
}

static void read_messages(struct options *options, const char *path)
{
    static char line[2 * MESSAGE_BYTES_MAX + 2];
    FILE *file = fopen(path, "r");
    if (!file)
        die(path);
    options->messages = calloc(MESSAGES_MAX, sizeof *options->messages);
    while (options->message_count < MESSAGES_MAX && fgets(line, sizeof line, file)) {
        struct message *message = &options->messages[options->message_count++];
        for (const char *at = line; at[0] > ' ' && at[1] > ' '; at += 2) {
            unsigned byte;
            if (sscanf(at, "%2x", &byte) != 1)
                refuse("not hexadecimal", line);
            message->bytes[message->count++] = (uint8_t)byte;
        }
        if (message->count < 40)
            refuse("too short for a call", line);
    }
    fclose(file);
    if (!options->message_count)
        refuse("no messages", path);
}

int main(int count, char **words)
{
    struct options options = { .in_flight = 1, .connections = 1, .seconds = 1, .patience_ms = 500 };
    const char *to = NULL;
    uint16_t port = 0;
    if (count < 2 || count % 2)
        refuse("wrong arguments", count < 2 ? "none" : words[1]);
    for (int i = 2; i + 1 < count; i += 2) {
        const char *name = words[i], *value = words[i + 1];
        if (!strcmp(name, "--to"))
            to = value;
        else if (!strcmp(name, "--port"))
            port = (uint16_t)atoi(value);
        else if (!strcmp(name, "--messages"))
            read_messages(&options, value);
        else if (!strcmp(name, "--in-flight"))
            options.in_flight = (unsigned)atoi(value);
        else if (!strcmp(name, "--connections"))
            options.connections = (unsigned)atoi(value);
        else if (!strcmp(name, "--seconds"))
            options.seconds = atof(value);
        else if (!strcmp(name, "--calls"))
            options.calls = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--rate"))
            options.rate = (unsigned)atoi(value);
        else if (!strcmp(name, "--patience"))
            options.patience_ms = (unsigned)atoi(value);
        else if (!strcmp(name, "--pause"))
            options.pause_us = (unsigned)atoi(value);
        else if (!strcmp(name, "--count"))
            options.count = (unsigned)atoi(value);
        else if (!strcmp(name, "--socket"))
            options.socket_path = value;
        else if (!strcmp(name, "--sources")) {
            char *first = strdup(value), *slash = strchr(first, '/');
            if (!slash)
                refuse("no count of sources", value);
            *slash = 0;
            parse_address(first, 0, &options.source);
            options.sources = (uint32_t)strtoul(slash + 1, NULL, 10);
            free(first);
        } else
            refuse("unknown option", name);
    }
    if (!strcmp(words[1], "wakeups"))
        return run_wakeups(&options);
    if (!to)
        refuse("missing", "--to");
    if (options.in_flight < 1 || options.in_flight > 1024)
        refuse("--in-flight must be 1 to 1024", "");
    options.to_length = parse_address(to, port, &options.to);
    if (!strcmp(words[1], "echo"))
        return run_echo(&options);
    if (!strcmp(words[1], "transactions"))
        return run_transactions(&options);
    if (!strcmp(words[1], "relay"))
        return run_relay(&options);
    if (!strcmp(words[1], "sink"))
        return run_sink(&options);
    if (!options.messages)
        refuse("missing", "--messages");
    if (!strcmp(words[1], "listen"))
        return run_listen(&options);
    if (!strcmp(words[1], "udp"))
        return run_udp(&options);
    if (!strcmp(words[1], "tcp"))
        return run_tcp(&options);
    if (!strcmp(words[1], "flood"))
        return run_flood(&options);
    refuse("unknown command", words[1]);
    return 2;
}
