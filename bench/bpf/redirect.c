// SPDX-License-Identifier: GPL-2.0
/*
 * The peers' short way, as container networks use it: on the uplink, hand a
 * packet to the child that owns its destination; on the port, send what the
 * child transmits to the uplink.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

static void *(*const map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const redirect_peer)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect_peer;
static long (*const redirect_neigh)(__u32 ifindex, void *params, int size, __u64 flags) =
	(void *)BPF_FUNC_redirect_neigh;

/* Which port leads to an IPv4 address: its ifindex. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u32);
} owners4 SEC(".maps");

/* The same for IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct in6_addr);
	__type(value, __u32);
} owners6 SEC(".maps");

/* Entry 0: ifindex of the uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} uplink SEC(".maps");

/* The port of the packet's destination, 0 if no child has it. */
static __always_inline __u32 owner(struct __sk_buff *skb, __u32 l2)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip6 = data + l2;
	struct iphdr *ip4 = data + l2;
	__u32 *port = 0;

	if (skb->protocol == __builtin_bswap16(ETH_P_IP) && (void *)(ip4 + 1) <= end)
		port = map_lookup(&owners4, &ip4->daddr);
	else if (skb->protocol == __builtin_bswap16(ETH_P_IPV6) && (void *)(ip6 + 1) <= end)
		port = map_lookup(&owners6, &ip6->daddr);
	return port ? *port : 0;
}

static __always_inline int leave(void)
{
	__u32 zero = 0, *out = map_lookup(&uplink, &zero);

	return out && *out ? redirect_neigh(*out, 0, 0, 0) : TC_ACT_OK;
}

/* At the uplink: into the child, with no backlog between. */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	__u32 port = owner(skb, ETH_HLEN);

	return port ? redirect_peer(port, 0) : TC_ACT_OK;
}

/* At a veth port's ingress: what the child sent. */
SEC("tc")
int from_veth(struct __sk_buff *skb)
{
	__u32 port = owner(skb, ETH_HLEN);

	return port ? redirect_peer(port, 0) : leave();
}

/* In a netkit child's transmit: redirect_peer is for ingress only. */
SEC("tc")
int from_netkit(struct __sk_buff *skb)
{
	__u32 port = owner(skb, ETH_HLEN);

	return port ? redirect(port, 0) : leave();
}

char _license[] SEC("license") = "GPL";
