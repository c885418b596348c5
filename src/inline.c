// SPDX-License-Identifier: GPL-2.0
/*
 * Those of helpers.h that packets pass. Kbuild has two ways to build them: as functions, and inlined
 * into the Rust code that calls them.
 */

#include <linux/types.h>

#ifdef PASSTHRU_INLINE
/* What a compiler may leave as functions, which are then not made as the rest of the kernel's. */
struct hh_cache;
struct neighbour;
struct net_device;
struct sk_buff;
static __always_inline struct neighbour *__ipv4_neigh_lookup_noref(struct net_device *dev, u32 key);
static __always_inline struct neighbour *ip_neigh_gw4(struct net_device *dev, __be32 daddr);
static __always_inline int neigh_hh_output(const struct hh_cache *hh, struct sk_buff *skb);
static __always_inline int neigh_output(struct neighbour *n, struct sk_buff *skb, bool skip_cache);
static __always_inline bool skb_dst_force(struct sk_buff *skb);
#endif

#include <linux/bpf-cgroup.h>
#include <net/l3mdev.h>
#include <net/netfilter/nf_conntrack_ecache.h>
#include <net/raw.h>
#include <net/rawv6.h>
#include <net/tcx.h>
#include <net/udp.h>

#include "bindings.h"

#ifdef PASSTHRU_INLINE
#pragma clang attribute push(__attribute__((always_inline)), apply_to = function)
#endif

/* Nothing is done for what is unlikely, but by itself: then it stays a branch. */
bool passthru_helper_unlikely(bool condition)
{
	if (likely(!condition))
		return false;
	asm volatile("");
	return true;
}

/* What a driver with several queues does with what comes in by one. */
void passthru_helper_skb_record_rx_queue(struct sk_buff *skb, const struct net_device *dev,
					 u16 queue)
{
	skb_record_rx_queue(skb, queue % READ_ONCE(dev->real_num_rx_queues));
}

u16 passthru_helper_skb_queue(const struct sk_buff *skb)
{
	return skb_get_queue_mapping(skb);
}

void passthru_helper_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int len)
{
	dev_sw_netstats_tx_add(dev, 1, len);
}

void passthru_helper_dev_sw_netstats_rx_add(struct net_device *dev, unsigned int len)
{
	dev_sw_netstats_rx_add(dev, len);
}

bool passthru_helper_pskb_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

int passthru_helper_skb_orphan_frags(struct sk_buff *skb)
{
	return skb_orphan_frags(skb, GFP_ATOMIC);
}

void passthru_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

void passthru_helper_skb_reset_mac_header(struct sk_buff *skb)
{
	skb_reset_mac_header(skb);
}

void passthru_helper_skb_reset_network_header(struct sk_buff *skb)
{
	skb_reset_network_header(skb);
}

void passthru_helper_skb_postpull_rcsum(struct sk_buff *skb, const void *start, unsigned int len)
{
	skb_postpull_rcsum(skb, start, len);
}

struct sk_buff *passthru_helper_skb_share_check(struct sk_buff *skb)
{
	return skb_share_check(skb, GFP_ATOMIC);
}

/* Whether tc is to leave the packet alone is a matter of where that was said. */
static __always_inline void passthru_reset_tc(struct sk_buff *skb)
{
#ifdef CONFIG_NET_XGRESS
	skb->tc_skip_classify = 0;
#endif
}

void passthru_helper_skb_scrub(struct sk_buff *skb, bool crosses)
{
	skb_scrub_packet(skb, crosses);
	/* That a neighbour of the sender's answers says nothing of others. */
	skb_set_dst_pending_confirm(skb, 0);
	/* Generic XDP passes by what tc has redirected. */
	skb_reset_redirect(skb);
	passthru_reset_tc(skb);
	skb->priority = 0;
	skb_set_queue_mapping(skb, 0);
}

bool passthru_helper_ct_has_events(const struct nf_conn *ct)
{
	const struct nf_conntrack_ecache *cache = nf_ct_ecache_find(ct);

	return cache && (READ_ONCE(cache->cache) || READ_ONCE(cache->missed));
}

bool passthru_helper_skb_has_sec_path(const struct sk_buff *skb)
{
	return skb_sec_path(skb);
}

/*
 * Whether a packet must not have its socket any more when it leaves its namespace: one that sets times
 * (SO_TXTIME) hears of the packet from queues, with what others made of it, and may have it wait there
 * for ever; one in TIME_WAIT does not keep its namespace.
 */
bool passthru_helper_skb_leaves_sock(const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;

	if (!sk)
		return false;
	return (unlikely(sock_flag(sk, SOCK_TXTIME)) && sk_fullsock(sk)) ||
	       unlikely(sk->sk_state == TCP_TIME_WAIT);
}

/* Whether sk_validate_xmit_skb() has anything to do, or may have. */
bool passthru_helper_skb_is_validated(const struct sk_buff *skb)
{
#ifdef CONFIG_SOCK_VALIDATE_XMIT
	const struct sock *sk = skb->sk;

	if (sk && (unlikely(!sk_fullsock(sk)) || unlikely(sk->sk_validate_xmit_skb)))
		return true;
#endif
	return skb_is_decrypted(skb);
}

/* What neigh_connected_output() does where there is no header to build. */
void passthru_helper_skb_pull_to_network(struct sk_buff *skb)
{
	__skb_pull(skb, skb_network_offset(skb));
}

/*
 * What __dev_queue_xmit() leaves in a packet that it gives to a driver with one queue, but for what it
 * notes for queues.
 */
void passthru_helper_skb_prepare_xmit(struct sk_buff *skb)
{
	skb_reset_mac_header(skb);
	tcx_set_ingress(skb, false);
	nf_skip_egress(skb, false);
	skb_set_queue_mapping(skb, 0);
#ifdef CONFIG_XPS
	if (skb->sender_cpu - 1 >= (u32)NR_CPUS)
		skb->sender_cpu = raw_smp_processor_id() + 1;
#endif
}

bool passthru_helper_skb_is_decrypted(const struct sk_buff *skb)
{
	return skb_is_decrypted(skb);
}

/*
 * What most packets have none of: no call stands in the way of those. What is called is in helpers.c:
 * clang might make it a function of its own, which lacks what the kernel wants of functions.
 */
static __always_inline void passthru_strip(struct sk_buff *skb, const bool routed)
{
	const bool counted = routed && skb->_skb_refdst && !skb_dst_is_noref(skb);

	if (unlikely(skb->destructor || skb_has_extensions(skb) || counted))
		passthru_helper_skb_strip(skb);
	if (routed)
		skb->_skb_refdst = 0;
	if (unlikely(skb->_nfct))
		passthru_helper_skb_reset_ct(skb);
}

/*
 * skb_scrub_packet() between namespaces, and what a receiving device sets. Bits that share a byte
 * are cleared together.
 */
static __always_inline void passthru_rehome(struct sk_buff *skb, struct net_device *dev,
					    const bool routed, const bool is_final)
{
	const int ifindex = dev->ifindex;

	passthru_strip(skb, routed);
	/* When it is to be sent matters to who sends it on, and to nobody else. */
	if (is_final) {
		skb->tstamp = 0;
		skb->tstamp_type = SKB_CLOCK_REALTIME;
	} else {
		skb_clear_tstamp(skb);
	}
	if (static_branch_unlikely(&netstamp_needed_key) && !skb->tstamp)
		__net_timestamp(skb);
	nf_reset_trace(skb);
	ipvs_reset(skb);
	skb_reset_redirect(skb);
	passthru_reset_tc(skb);
#ifdef CONFIG_NET_SWITCHDEV
	skb->offload_fwd_mark = 0;
	skb->offload_l3_fwd_mark = 0;
#endif
	skb->pkt_type = PACKET_HOST;
	skb->ignore_df = 0;
	skb_reset_mac_header(skb);
	skb->mac_len = 0;
	skb_reset_network_header(skb);
	skb->mark = 0;
	skb->priority = 0;
	/* A queue of another device's, which this one may not have. */
	skb_set_queue_mapping(skb, 0);
	skb->dev = dev;
	skb->skb_iif = ifindex;
	/* IPCB() and IP6CB() have the same size, and begin with the same field. */
	BUILD_BUG_ON(sizeof(struct inet6_skb_parm) > sizeof(struct inet_skb_parm));
	BUILD_BUG_ON(offsetof(struct inet6_skb_parm, iif) != offsetof(struct inet_skb_parm, iif));
	memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
	IPCB(skb)->iif = ifindex;
}

void passthru_helper_skb_rehome(struct sk_buff *skb, struct net_device *dev)
{
	passthru_rehome(skb, dev, true, false);
}

/*
 * ... and what ip_rcv_core() counts and notes. Softirqs are off, so nobody else counts on this CPU:
 * this_cpu_inc() would turn interrupts off where it is more than one instruction.
 */
static __always_inline void passthru_ip_enter(struct sk_buff *skb, struct net_device *dev,
					      struct net *net, u8 tos,
					      unsigned long __percpu *counters,
					      unsigned long amount, const bool routed,
					      const bool is_final)
{
	const unsigned short segs = max_t(unsigned short, 1, skb_shinfo(skb)->gso_segs);

	__this_cpu_inc(counters[0]);
	__this_cpu_add(counters[1], amount);
	passthru_rehome(skb, dev, routed, is_final);
	skb_set_transport_header(skb, sizeof(struct iphdr));
	__IP_UPD_PO_STATS(net, IPSTATS_MIB_IN, skb->len);
	__IP_ADD_STATS(net, IPSTATS_MIB_NOECTPKTS + (tos & INET_ECN_MASK), segs);
}

void passthru_helper_ip_enter(struct sk_buff *skb, struct net_device *dev, u8 tos,
			      unsigned long __percpu *counters, unsigned long amount)
{
	passthru_ip_enter(skb, dev, dev_net_rcu(dev), tos, counters, amount, true, false);
}

/* ... and what ip6_rcv_core() does. */
static __always_inline void passthru_ip6_enter(struct sk_buff *skb, struct net_device *dev,
					       struct net *net, struct inet6_dev *idev, u8 tclass,
					       unsigned long __percpu *counters,
					       unsigned long amount, const bool routed,
					       const bool is_final)
{
	const unsigned short segs = max_t(unsigned short, 1, skb_shinfo(skb)->gso_segs);

	__this_cpu_inc(counters[0]);
	__this_cpu_add(counters[1], amount);
	passthru_rehome(skb, dev, routed, is_final);
	skb_set_transport_header(skb, sizeof(struct ipv6hdr));
	IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
	__IP6_UPD_PO_STATS(net, idev, IPSTATS_MIB_IN, skb->len);
	__IP6_ADD_STATS(net, idev, IPSTATS_MIB_NOECTPKTS + (tclass & INET_ECN_MASK), segs);
}

void passthru_helper_ip6_enter(struct sk_buff *skb, struct net_device *dev, u8 tclass,
			       unsigned long __percpu *counters, unsigned long amount)
{
	passthru_ip6_enter(skb, dev, dev_net_rcu(dev), __in6_dev_get(dev), tclass, counters,
			   amount, true, false);
}

bool passthru_helper_dst_hold_safe(struct dst_entry *dst)
{
	return dst_hold_safe(dst);
}

int passthru_helper_dst_input(struct sk_buff *skb)
{
	return dst_input(skb);
}

void passthru_helper_net_inc_stats(const struct net_device *dev, unsigned int number)
{
	__NET_INC_STATS(dev_net_rcu(dev), number);
}

const struct hlist_head *passthru_helper_raw_v4_sockets(struct net *net, u32 protocol)
{
	return &raw_v4_hashinfo.ht[raw_hashfunc(net, protocol)];
}

const struct hlist_head *passthru_helper_raw_v6_sockets(struct net *net, u32 protocol)
{
	return &raw_v6_hashinfo.ht[raw_hashfunc(net, protocol)];
}

/* __skb_pull(), of a header that was read in the linear part: whether it lies there is known. */
static __always_inline void passthru_pull_header(struct sk_buff *skb, unsigned int len)
{
	skb->len -= len;
	skb->data += len;
}

/* What ip_protocol_deliver_rcu() does with a packet that begins with what @handler takes. */
static __always_inline int passthru_ip_give(struct sk_buff *skb, struct net *net,
					    int (*handler)(struct sk_buff *skb))
{
	int answer = handler(skb);

	/* Who calls this asks for zero, which is what nearly all say. */
	if (likely(answer == 0)) {
		__IP_INC_STATS(net, IPSTATS_MIB_INDELIVERS);
		return 0;
	}
	if (answer > 0)
		__IP_INC_STATS(net, IPSTATS_MIB_INDELIVERS);
	return answer;
}

int passthru_helper_ip_give(struct sk_buff *skb, int (*handler)(struct sk_buff *skb))
{
	return passthru_ip_give(skb, dev_net_rcu(skb->dev), handler);
}

/*
 * ... and ip_local_deliver_finish() before it, once nobody cares any more when the packet is to be
 * sent.
 */
static __always_inline int passthru_ip_hand_over(struct sk_buff *skb, struct net *net,
						 int (*handler)(struct sk_buff *skb))
{
	passthru_pull_header(skb, sizeof(struct iphdr));
	return passthru_ip_give(skb, net, handler);
}

int passthru_helper_ip_hand_over(struct sk_buff *skb, int (*handler)(struct sk_buff *skb))
{
	skb_clear_delivery_time(skb);
	return passthru_ip_hand_over(skb, dev_net_rcu(skb->dev), handler);
}

/* Early demux: the protocol need look no further. */
static __always_inline void passthru_demuxed(struct sk_buff *skb, struct sock *sk,
					     void (*destructor)(struct sk_buff *skb))
{
	skb->sk = sk;
	skb->destructor = destructor;
}

/* All in one, by a local route that nothing stands before, unless raw sockets may. */
int passthru_helper_ip_arrive(struct sk_buff *skb, struct net_device *dev, struct dst_entry *dst,
			      struct passthru_summary header, unsigned long __percpu *counters,
			      unsigned long amount, int (*handler)(struct sk_buff *skb))
{
	struct net *net = dev_net_rcu(dev);

	if (unlikely(!hlist_empty(passthru_helper_raw_v4_sockets(net, header.protocol))))
		return PASSTHRU_RAW_SOCKETS;
	passthru_ip_enter(skb, dev, net, header.tos, counters, amount, header.routed, true);
	skb->_skb_refdst = (unsigned long)dst | SKB_DST_NOREF;
	return passthru_ip_hand_over(skb, net, handler);
}

/* ... to a socket that is known. */
int passthru_helper_ip_arrive_at(struct sk_buff *skb, struct net_device *dev,
				 struct dst_entry *dst, struct passthru_summary header,
				 unsigned long __percpu *counters, unsigned long amount,
				 int (*handler)(struct sk_buff *skb), struct sock *sk,
				 void (*destructor)(struct sk_buff *skb))
{
	struct net *net = dev_net_rcu(dev);

	if (unlikely(!hlist_empty(passthru_helper_raw_v4_sockets(net, header.protocol))))
		return PASSTHRU_RAW_SOCKETS;
	passthru_ip_enter(skb, dev, net, header.tos, counters, amount, header.routed, true);
	passthru_demuxed(skb, sk, destructor);
	skb->_skb_refdst = (unsigned long)dst | SKB_DST_NOREF;
	return passthru_ip_hand_over(skb, net, handler);
}

/* ... ip6_protocol_deliver_rcu(), which counts for the device that has the address, */
static __always_inline int passthru_ip6_give(struct sk_buff *skb, struct net *net,
					     const struct dst_entry *dst,
					     int (*handler)(struct sk_buff *skb))
{
	struct inet6_dev *idev = ip6_dst_idev(dst);
	int answer = handler(skb);

	if (likely(answer == 0))
		__IP6_INC_STATS(net, idev, IPSTATS_MIB_INDELIVERS);
	return answer;
}

int passthru_helper_ip6_give(struct sk_buff *skb, int (*handler)(struct sk_buff *skb))
{
	return passthru_ip6_give(skb, dev_net_rcu(skb->dev), skb_dst(skb), handler);
}

/* ... and ip6_input_finish(). */
static __always_inline int passthru_ip6_hand_over(struct sk_buff *skb, struct net *net,
						  const struct dst_entry *dst,
						  int (*handler)(struct sk_buff *skb))
{
	BUILD_BUG_ON(!(CHECKSUM_COMPLETE & CHECKSUM_PARTIAL) ||
		     CHECKSUM_COMPLETE & CHECKSUM_UNNECESSARY);
	passthru_pull_header(skb, sizeof(struct ipv6hdr));
	/* One bit tells those whose sum or part of a sum goes with the data. */
	if (skb->ip_summed & CHECKSUM_COMPLETE)
		skb_postpull_rcsum(skb, skb_network_header(skb), sizeof(struct ipv6hdr));
	return passthru_ip6_give(skb, net, dst, handler);
}

int passthru_helper_ip6_hand_over(struct sk_buff *skb, int (*handler)(struct sk_buff *skb))
{
	skb_clear_delivery_time(skb);
	return passthru_ip6_hand_over(skb, dev_net_rcu(skb->dev), skb_dst(skb), handler);
}

int passthru_helper_ip6_arrive(struct sk_buff *skb, struct net_device *dev, struct dst_entry *dst,
			       struct passthru_summary header, unsigned long __percpu *counters,
			       unsigned long amount, int (*handler)(struct sk_buff *skb))
{
	struct net *net = dev_net_rcu(dev);
	struct inet6_dev *idev = __in6_dev_get(dev);

	if (unlikely(!idev || !hlist_empty(passthru_helper_raw_v6_sockets(net, header.protocol))))
		return PASSTHRU_RAW_SOCKETS;
	passthru_ip6_enter(skb, dev, net, idev, header.tos, counters, amount, header.routed, true);
	skb->_skb_refdst = (unsigned long)dst | SKB_DST_NOREF;
	return passthru_ip6_hand_over(skb, net, dst, handler);
}

int passthru_helper_ip6_arrive_at(struct sk_buff *skb, struct net_device *dev,
				  struct dst_entry *dst, struct passthru_summary header,
				  unsigned long __percpu *counters, unsigned long amount,
				  int (*handler)(struct sk_buff *skb), struct sock *sk,
				  void (*destructor)(struct sk_buff *skb))
{
	struct net *net = dev_net_rcu(dev);
	struct inet6_dev *idev = __in6_dev_get(dev);

	if (unlikely(!idev || !hlist_empty(passthru_helper_raw_v6_sockets(net, header.protocol))))
		return PASSTHRU_RAW_SOCKETS;
	passthru_ip6_enter(skb, dev, net, idev, header.tos, counters, amount, header.routed, true);
	passthru_demuxed(skb, sk, destructor);
	skb->_skb_refdst = (unsigned long)dst | SKB_DST_NOREF;
	return passthru_ip6_hand_over(skb, net, dst, handler);
}

void passthru_helper_skb_forward_csum(struct sk_buff *skb)
{
	skb_forward_csum(skb);
}

/* The header says how long the packet is. */
void passthru_helper_ip_set_len(struct sk_buff *skb)
{
	iph_set_totlen(ip_hdr(skb), skb->len);
	ip_send_check(ip_hdr(skb));
}

void passthru_helper_skb_clear_tstamp(struct sk_buff *skb)
{
	skb_clear_tstamp(skb);
}

int passthru_helper_skb_orphan_frags_rx(struct sk_buff *skb)
{
	return skb_orphan_frags_rx(skb, GFP_ATOMIC);
}

/* Makes room for the link's header before a packet, as ip_finish_output2() does. */
struct sk_buff *passthru_helper_skb_make_room(struct sk_buff *skb, const struct net_device *dev)
{
	const unsigned int hh_len = LL_RESERVED_SPACE(dev);

	if (unlikely(skb_headroom(skb) < hh_len && dev->header_ops))
		return skb_expand_head(skb, hh_len);
	return skb;
}

/*
 * The neighbour that a packet goes to by its route, which leads to no gateway of IPv6's, or an error
 * pointer.
 */
struct neighbour *passthru_helper_ip_neighbour(const struct sk_buff *skb, struct net_device *dev)
{
	const struct rtable *rt = skb_rtable(skb);

	return ip_neigh_gw4(dev, rt->rt_gw_family ? rt->rt_gw4 : ip_hdr(skb)->daddr);
}

struct neighbour *passthru_helper_ip6_neighbour(const struct sk_buff *skb, struct net_device *dev)
{
	const struct in6_addr *nexthop = rt6_nexthop(skb_rt6_info(skb), &ipv6_hdr(skb)->daddr);
	struct neighbour *neigh = __ipv6_neigh_lookup_noref(dev, nexthop);

	return likely(neigh) ? neigh : __neigh_create(&nd_tbl, nexthop, dev, false);
}

/* What ip_finish_output2() counts. */
void passthru_helper_ip_count_out(struct net *net, const struct sk_buff *skb)
{
	IP_UPD_PO_STATS(net, IPSTATS_MIB_OUT, skb->len);
}

void passthru_helper_ip6_count_out(struct net *net, const struct sk_buff *skb)
{
	IP6_UPD_PO_STATS(net, ip6_dst_idev(skb_dst(skb)), IPSTATS_MIB_OUT, skb->len);
}

void passthru_helper_ip6_count_discarded(struct net *net, struct dst_entry *dst)
{
	IP6_INC_STATS(net, ip6_dst_idev(dst), IPSTATS_MIB_OUTDISCARDS);
}

void passthru_helper_ip6_count_no_route(struct net *net, struct dst_entry *dst)
{
	IP6_INC_STATS(net, ip6_dst_idev(dst), IPSTATS_MIB_OUTNOROUTES);
}

void passthru_helper_dev_count_dropped(struct net_device *dev)
{
	dev_core_stats_tx_dropped_inc(dev);
}

int passthru_helper_neigh_output(struct neighbour *neigh, struct sk_buff *skb)
{
	return neigh_output(neigh, skb, false);
}

/*
 * The first half of neigh_hh_output(): the header that the neighbour remembers, if it has one of a
 * length that most links have.
 */
bool passthru_helper_neigh_add_header(const struct neighbour *neigh, struct sk_buff *skb)
{
	const struct hh_cache *hh = &neigh->hh;
	const unsigned int len = READ_ONCE(hh->hh_len);
	unsigned int seq;

	if (unlikely(!(READ_ONCE(neigh->nud_state) & NUD_CONNECTED) || len - 1 >= HH_DATA_MOD ||
		     skb_headroom(skb) < HH_DATA_MOD))
		return false;
	do {
		seq = read_seqbegin(&hh->hh_lock);
		memcpy(skb->data - HH_DATA_MOD, hh->hh_data, HH_DATA_MOD);
	} while (read_seqretry(&hh->hh_lock, seq));
	__skb_push(skb, len);
	return true;
}

/*
 * Whether __dev_queue_xmit() has something to ask of a device with one queue, or to do for its driver,
 * that depends on no packet: a lock, a stop, features of each packet, a priority.
 */
bool passthru_helper_dev_wants_more(const struct net_device *dev)
{
	const struct net_device_ops *ops = dev->netdev_ops;

#if IS_ENABLED(CONFIG_CGROUP_NET_PRIO)
	if (unlikely(rcu_access_pointer(dev->priomap)))
		return true;
#endif
	return !dev->lltx || netif_xmit_stopped(netdev_get_tx_queue(dev, 0)) ||
	       (ops->ndo_features_check && ops->ndo_features_check != passthru_features_check);
}

/* What __dev_queue_xmit() does with a packet's route. */
void passthru_helper_skb_prepare_dst(struct sk_buff *skb)
{
	if (skb->dev->priv_flags & IFF_XMIT_DST_RELEASE)
		skb_dst_drop(skb);
	else
		skb_dst_force(skb);
}

bool passthru_helper_dev_xmit_recursion(void)
{
	return dev_xmit_recursion();
}

/*
 * The last lines of __dev_queue_xmit(), of a device without a queue. It leaves the length to programs
 * of drivers (netkit's), which read it as that of queues.
 */
netdev_tx_t passthru_helper_skb_start_xmit(struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;
	netdev_tx_t answer;

	qdisc_skb_cb(skb)->pkt_len = skb->len;
	qdisc_skb_cb(skb)->pkt_segs = 1;
	dev_xmit_recursion_inc();
	answer = netdev_start_xmit(skb, dev, netdev_get_tx_queue(dev, 0), false);
	dev_xmit_recursion_dec();
	return answer;
}

bool passthru_helper_dev_xmit_complete(netdev_tx_t answer)
{
	return dev_xmit_complete(answer);
}

bool passthru_helper_skb_csum_is_sctp(struct sk_buff *skb)
{
	return skb_csum_is_sctp(skb);
}

/* dst_output(), which looks for IPv6's function first. */
int passthru_helper_ip_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	return INDIRECT_CALL_1(READ_ONCE(skb_dst(skb)->output), ip_output, net, sk, skb);
}

int passthru_helper_dst_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	return dst_output(net, sk, skb);
}

/*
 * skb_scrub_packet() between the output paths of two namespaces. The socket stays, so that its owner
 * feels the queues further on, and so does the time that it chose for sending. Then hooks after
 * routing see the packet as one that came by @port, as those of forwarded packets do, and so does
 * the traffic control of the device that it leaves by.
 */
static __always_inline void passthru_depart(struct sk_buff *skb, struct net_device *port,
					    struct dst_entry *dst,
					    unsigned long __percpu *counters, unsigned long amount)
{
	this_cpu_inc(counters[0]);
	this_cpu_add(counters[1], amount);
	skb_dst_drop(skb);
	if (unlikely(skb_has_extensions(skb)))
		passthru_helper_skb_ext_reset(skb);
	if (unlikely(skb->_nfct))
		passthru_helper_skb_reset_ct(skb);
	skb_clear_tstamp(skb);
	nf_reset_trace(skb);
	ipvs_reset(skb);
	skb_reset_redirect(skb);
	passthru_reset_tc(skb);
	skb_set_dst_pending_confirm(skb, 0);
	skb->pkt_type = PACKET_HOST;
	skb->ignore_df = 0;
	skb->skb_iif = port->ifindex;
	skb->mark = 0;
	skb_set_queue_mapping(skb, 0);
	skb->dev = port;
	memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
	skb->_skb_refdst = (unsigned long)dst | SKB_DST_NOREF;
}

/* What ip_local_out() counts besides, and the priority that ip_forward() sets. */
void passthru_helper_ip_depart(struct sk_buff *skb, struct net_device *port, struct dst_entry *dst,
			       u8 tos, unsigned long __percpu *counters, unsigned long amount)
{
	IP_INC_STATS(dev_net_rcu(port), IPSTATS_MIB_OUTREQUESTS);
	passthru_depart(skb, port, dst, counters, amount);
	skb->priority = rt_tos2priority(tos);
}

/* ... and ip6_local_out(); ip6_forward() sets none. */
void passthru_helper_ip6_depart(struct sk_buff *skb, struct net_device *port, struct dst_entry *dst,
				unsigned long __percpu *counters, unsigned long amount)
{
	IP6_INC_STATS(dev_net_rcu(port), ip6_dst_idev(dst), IPSTATS_MIB_OUTREQUESTS);
	passthru_depart(skb, port, dst, counters, amount);
	skb->priority = 0;
}

/* The programs of the sender's cgroup are to see the packet as its own namespace sends it. */
static __always_inline int passthru_judge(struct sk_buff *skb)
{
	if (!cgroup_bpf_enabled(CGROUP_INET_EGRESS))
		return 0;
	skb->dev = skb_dst_dev_rcu(skb);
	return BPF_CGROUP_RUN_PROG_INET_EGRESS(skb->sk, skb);
}

/* ip_finish_output(), and what @net counts when it sends a packet. */
int passthru_helper_ip_judge(struct sk_buff *skb, struct net *net)
{
	int answer = passthru_judge(skb);

	if (likely(answer == NET_XMIT_SUCCESS || answer == NET_XMIT_CN))
		IP_UPD_PO_STATS(net, IPSTATS_MIB_OUT, skb->len);
	return answer;
}

/* ... and ip6_finish_output(). */
int passthru_helper_ip6_judge(struct sk_buff *skb, struct net *net)
{
	int answer = passthru_judge(skb);

	if (likely(answer == NET_XMIT_SUCCESS || answer == NET_XMIT_CN))
		IP6_UPD_PO_STATS(net, ip6_dst_idev(skb_dst(skb)), IPSTATS_MIB_OUT, skb->len);
	return answer;
}

/* What a packet that a device was given lacks of what IP's input would have said of it. */
void passthru_helper_skb_enter_output(struct sk_buff *skb, unsigned int header_len)
{
	skb_set_transport_header(skb, header_len);
#ifdef CONFIG_NET_SWITCHDEV
	skb->offload_fwd_mark = 0;
	skb->offload_l3_fwd_mark = 0;
#endif
}

u32 passthru_helper_dst_mtu(const struct dst_entry *dst)
{
	return dst_mtu(dst);
}

u32 passthru_helper_ip_forward_mtu(const struct dst_entry *dst)
{
	return ip_dst_mtu_maybe_forward(dst, true);
}

u32 passthru_helper_ip6_forward_mtu(const struct dst_entry *dst)
{
	return ip6_dst_mtu_maybe_forward(dst, true);
}

int passthru_helper_dev_recursion_level(void)
{
	return dev_recursion_level();
}

void passthru_helper_skb_pull(struct sk_buff *skb, unsigned int len)
{
	__skb_pull(skb, len);
}

void passthru_helper_skb_push(struct sk_buff *skb, unsigned int len)
{
	__skb_push(skb, len);
}

int passthru_helper_l3mdev_master_ifindex(const struct net_device *dev)
{
	return l3mdev_master_ifindex_rcu(dev);
}

/* The part of a hash of UDP's that is the destination's alone. */
u32 passthru_helper_udp4_hash(const struct net *net, const struct iphdr *iph)
{
	return ipv4_portaddr_hash(net, iph->daddr, 0);
}

u32 passthru_helper_udp6_hash(const struct net *net, const struct in6_addr *daddr)
{
	return ipv6_portaddr_hash(net, daddr, 0);
}

/* The first socket of a chain. */
static __always_inline struct sock *passthru_first_socket(const struct udp_hslot *slot)
{
	struct hlist_node *node = rcu_dereference(hlist_first_rcu(&slot->head));
	struct sock *sk = hlist_entry(node, struct sock, __sk_common.skc_portaddr_node);

	if (unlikely(!node))
		return NULL;
	/* Nobody has to ask whether it is there, once more. */
	if (!sk)
		__builtin_unreachable();
	return sk;
}

/*
 * __udp4_lib_demux_lookup(), of a packet without options: the first socket of the chain only, where
 * connected ones are. @hash is that of its destination.
 */
struct sock *passthru_helper_udp4_demux(struct net *net, const struct iphdr *iph, int dif, u32 hash)
{
	const struct udphdr *uh = (const struct udphdr *)(iph + 1);
	INET_ADDR_COOKIE(cookie, iph->saddr, iph->daddr);
	unsigned short port = ntohs(uh->dest);
	const __portpair ports = INET_COMBINED_PORTS(uh->source, port);
	struct udp_hslot *slot = udp_hashslot2(net->ipv4.udp_table, hash ^ port);
	struct sock *sk = passthru_first_socket(slot);

	return sk && inet_match(net, sk, cookie, ports, dif, 0) ? sk : NULL;
}

/* __udp6_lib_demux_lookup(), likewise. */
struct sock *passthru_helper_udp6_demux(struct net *net, const struct ipv6hdr *iph, int dif,
					u32 hash)
{
	const struct udphdr *uh = (const struct udphdr *)(iph + 1);
	unsigned short port = ntohs(uh->dest);
	const __portpair ports = INET_COMBINED_PORTS(uh->source, port);
	struct udp_hslot *slot = udp_hashslot2(net->ipv4.udp_table, hash ^ port);
	struct sock *sk = passthru_first_socket(slot);

	if (sk && sk->sk_state == TCP_ESTABLISHED && sk->sk_family == AF_INET6 &&
	    inet6_match(net, sk, &iph->saddr, &iph->daddr, ports, dif, 0))
		return sk;
	return NULL;
}

unsigned long passthru_helper_softirq_count(void)
{
	return softirq_count();
}

void passthru_helper_preempt_disable_nested(void)
{
	preempt_disable_nested();
}

void passthru_helper_preempt_enable_nested(void)
{
	preempt_enable_nested();
}

void passthru_helper_skb_prepare_for_gro(struct sk_buff *skb)
{
	skb_prepare_for_gro(skb);
}

struct softnet_data *passthru_helper_softnet_data(unsigned int cpu)
{
	return &per_cpu(softnet_data, cpu);
}

void passthru_helper_smp_mb(void)
{
	smp_mb();
}

unsigned int passthru_helper_cpu(void)
{
	return raw_smp_processor_id();
}

/* How many packets were put into this CPU's backlog, ever. Without RPS nobody counts. */
unsigned int passthru_helper_backlog_end(void)
{
#ifdef CONFIG_RPS
	return this_cpu_read(softnet_data.input_queue_tail);
#else
	return 0;
#endif
}

void passthru_helper_this_cpu_inc(unsigned long __percpu *counter)
{
	this_cpu_inc(*counter);
}

void passthru_helper_this_cpu_count(unsigned long __percpu *counters, unsigned long amount)
{
	this_cpu_inc(counters[0]);
	this_cpu_add(counters[1], amount);
}

#ifdef PASSTHRU_INLINE
#pragma clang attribute pop
#endif
