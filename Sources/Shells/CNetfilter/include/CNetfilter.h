#ifndef CNETFILTER_H
#define CNETFILTER_H

#include <netinet/in.h> /* before linux/netfilter.h, which otherwise redefines in_addr */
#include <stdint.h>

#include <linux/fib_rules.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

/* From linux/netfilter/nf_tables.h since 6.9; Debian 12's headers are those of 6.1. */
#define CNF_TABLE_F_OWNER 0x2
#define CNF_TABLE_F_PERSIST 0x4
/* NFTA_SET_COUNT, since 6.16 or so. */
#define CNF_SET_COUNT 20

/* NF_CT_STATE_BIT(IP_CT_ESTABLISHED) and NF_CT_STATE_BIT(IP_CT_NEW); Swift can't import the macro. */
#define CNF_CT_STATE_ESTABLISHED 0x2
#define CNF_CT_STATE_NEW 0x8

/* net/netfilter/nf_internals.h: the bits of CTA_FILTER_ORIG_FLAGS. */
#define CNF_FILTER_IP_SRC 0x1
#define CNF_FILTER_IP_DST 0x2
#define CNF_FILTER_PROTO_NUM 0x8
#define CNF_FILTER_PROTO_SRC_PORT 0x10
#define CNF_FILTER_PROTO_DST_PORT 0x20

/* From linux/rtnetlink.h, which defines these names both as enumerators and as macros. */
#define CNF_RTM_NEWADDR 20
#define CNF_RTM_GETADDR 22
#define CNF_RTM_NEWROUTE 24
#define CNF_RTM_DELROUTE 25
#define CNF_RTM_GETROUTE 26
#define CNF_RTM_NEWRULE 32
#define CNF_RTM_DELRULE 33
#define CNF_RTM_GETRULE 34
#define CNF_RTNLGRP_IPV4_ROUTE 7
#define CNF_RTNLGRP_IPV4_RULE 8
#define CNF_RTNLGRP_IPV6_ROUTE 11
#define CNF_RTNLGRP_IPV6_RULE 19

/* The text for an errno; static, so it is safe to use on every thread. NULL if there is no text. */
const char *cnf_errno_text(int number);

#endif
