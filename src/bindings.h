/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C interfaces that this module uses, for bindgen and for helpers.c.
 * What bindgen takes from here is listed in bindings.allow.
 */
#ifndef PASSTHRU_BINDINGS_H
#define PASSTHRU_BINDINGS_H

#include <linux/cpumask.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/if_vlan.h>
#include <linux/inetdevice.h>
#include <linux/moduleparam.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_netdev.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/addrconf.h>
#include <net/dropreason.h>
#include <net/dst.h>
#include <net/gro_cells.h>
#include <net/gso.h>
#include <net/hotdata.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/ip.h>
#include <net/ip6_fib.h>
#include <net/ip6_route.h>
#include <net/ip_fib.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/netdev_lock.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_extend.h>
#include <net/netlink.h>
#include <net/nexthop.h>
#include <net/protocol.h>
#include <net/route.h>
#include <net/rtnetlink.h>
#include <net/sch_generic.h>

#include <uapi/linux/if_passthru.h>

#include "helpers.h"

#endif /* PASSTHRU_BINDINGS_H */
