#define _GNU_SOURCE
#include "CHostNames.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

enum { ANSWER_BYTES_MAX = 4096 };

static uint32_t smallest(const unsigned char *answer, int length, uint32_t ttl)
{
    ns_msg message;
    if (ns_initparse(answer, length, &message) < 0)
        return ttl;
    for (int index = 0; index < ns_msg_count(message, ns_s_an); index++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, index, &record) < 0)
            break;
        if (ttl == 0 || ns_rr_ttl(record) < ttl)
            ttl = ns_rr_ttl(record) > 0 ? ns_rr_ttl(record) : 1;
    }
    return ttl;
}

bool rpcw_tells_absence(int code)
{
    return code == EAI_NONAME || code == EAI_NODATA || code == EAI_ADDRFAMILY;
}

bool rpcw_mentions(const char *line, const char *name)
{
    return strcasestr(line, name) != NULL;
}

uint32_t rpcw_name_ttl(const char *name)
{
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) < 0)
        return 0;
    /* A name is asked as it is written, without the search list: HostNames.neverSearch().
       getaddrinfo has just resolved the name: a server that is silent now is not worth a long wait. */
    state.retrans = 2;
    state.retry = 1;
    uint32_t ttl = 0;
    static const int types[] = { ns_t_a, ns_t_aaaa };
    for (int index = 0; index < 2; index++) {
        unsigned char answer[ANSWER_BYTES_MAX];
        int length = res_nquery(&state, name, ns_c_in, types[index], answer, sizeof answer);
        if (length > 0)
            ttl = smallest(answer, length < ANSWER_BYTES_MAX ? length : ANSWER_BYTES_MAX, ttl);
    }
    res_nclose(&state);
    return ttl;
}
