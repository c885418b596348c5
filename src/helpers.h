/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Static inlines and macros of the kernel under names that Rust can call. Most
 * do what the kernel's function of the same name does. Some do what a packet
 * passes one after the other in the kernel's own paths, where each of the steps
 * is no more than a few instructions, which a call would cost by itself.
 */
#ifndef PASSTHRU_HELPERS_H
#define PASSTHRU_HELPERS_H

#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/dst.h>
#include <net/ip.h>

/* Macros that bindgen cannot evaluate. */
enum { PASSTHRU_IPSKB_MULTIPATH = IPSKB_MULTIPATH, PASSTHRU_IPSKB_FRAG_PMTU = IPSKB_FRAG_PMTU };
enum { PASSTHRU_INPUT_PKT_QUEUE = offsetof(struct softnet_data, input_pkt_queue) };
enum { PASSTHRU_PROCESS_QUEUE = offsetof(struct softnet_data, process_queue) };
#ifdef CONFIG_RPS
enum { PASSTHRU_INPUT_QUEUE_HEAD = offsetof(struct softnet_data, input_queue_head) };
enum { PASSTHRU_INPUT_QUEUE_TAIL = offsetof(struct softnet_data, input_queue_tail) };
#endif

void passthru_helper_netdev_lockdep_set_classes(struct net_device *dev);
void passthru_helper_skb_record_rx_queue(struct sk_buff *skb, const struct net_device *dev,
					 u16 queue);
u16 passthru_helper_skb_queue(const struct sk_buff *skb);
bool passthru_helper_is_lower_of_all(const struct net_device *dev);
bool passthru_helper_is_bridge_port(const struct net_device *dev);
void passthru_helper_netdev_hold(struct net_device *dev, netdevice_tracker *tracker);
void passthru_helper_netdev_put(struct net_device *dev, netdevice_tracker *tracker);
void passthru_helper_eth_hw_addr_random(struct net_device *dev);
void passthru_helper_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int len);
void passthru_helper_dev_sw_netstats_rx_add(struct net_device *dev, unsigned int len);
void passthru_helper_unregister_netdevice_queue_net(struct net_device *origin,
						    struct net_device *dev,
						    struct list_head *head);

void passthru_helper_init_work(struct work_struct *work, work_func_t func);
void passthru_helper_schedule_work(struct work_struct *work);
void passthru_helper_nf_queue_drop_all(void);
bool passthru_helper_pskb_may_pull(struct sk_buff *skb, unsigned int len);
int passthru_helper_skb_orphan_frags(struct sk_buff *skb);
void passthru_helper_skb_tx_timestamp(struct sk_buff *skb);
void passthru_helper_skb_reset_mac_header(struct sk_buff *skb);
void passthru_helper_skb_reset_network_header(struct sk_buff *skb);
void passthru_helper_skb_postpull_rcsum(struct sk_buff *skb, const void *start, unsigned int len);
void passthru_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason);

struct sk_buff *passthru_helper_skb_share_check(struct sk_buff *skb);
void passthru_helper_skb_scrub(struct sk_buff *skb, bool crosses);
void passthru_helper_skb_ext_reset(struct sk_buff *skb);
void passthru_helper_skb_reset_ct(struct sk_buff *skb);
void passthru_helper_skb_strip(struct sk_buff *skb);
bool passthru_helper_ct_has_events(const struct nf_conn *ct);
int passthru_helper_ip_finish_options(struct sk_buff *skb);
bool passthru_helper_skb_has_sec_path(const struct sk_buff *skb);
bool passthru_helper_skb_is_decrypted(const struct sk_buff *skb);
bool passthru_helper_skb_leaves_sock(const struct sk_buff *skb);
bool passthru_helper_skb_is_validated(const struct sk_buff *skb);
void passthru_helper_skb_pull_to_network(struct sk_buff *skb);
void passthru_helper_skb_prepare_xmit(struct sk_buff *skb);
int passthru_helper_pskb_trim_rcsum(struct sk_buff *skb, unsigned int len);
void passthru_helper_skb_rehome(struct sk_buff *skb, struct net_device *dev);
void passthru_helper_ip_enter(struct sk_buff *skb, struct net_device *dev, u8 tos,
			      unsigned long __percpu *counters, unsigned long amount);
void passthru_helper_ip6_enter(struct sk_buff *skb, struct net_device *dev, u8 tclass,
			       unsigned long __percpu *counters, unsigned long amount);

bool passthru_helper_dst_hold_safe(struct dst_entry *dst);
int passthru_helper_dst_input(struct sk_buff *skb);

int passthru_helper_fib_lookup(struct net *net, struct flowi4 *fl4, struct fib_result *found);
const struct hlist_head *passthru_helper_raw_v4_sockets(struct net *net, u32 protocol);
const struct hlist_head *passthru_helper_raw_v6_sockets(struct net *net, u32 protocol);
int passthru_helper_ip_give(struct sk_buff *skb, int (*handler)(struct sk_buff *skb));
int passthru_helper_ip6_give(struct sk_buff *skb, int (*handler)(struct sk_buff *skb));
int passthru_helper_ip_hand_over(struct sk_buff *skb, int (*handler)(struct sk_buff *skb));
int passthru_helper_ip6_hand_over(struct sk_buff *skb, int (*handler)(struct sk_buff *skb));

/* What is read of a header anyway and counted, or gone by: DSCP and ECN, or the traffic class, and
 * what the packet carries.
 */
struct passthru_summary {
	u8 tos;
	u8 protocol;
	/* Whether the packet has the route that it was given in another namespace. */
	bool routed;
};

/*
 * What the next four answer where raw sockets may want the packet, or its device has lost IPv6: they
 * leave it alone then.
 */
#define PASSTHRU_RAW_SOCKETS 0x7fffffff
int passthru_helper_ip_arrive(struct sk_buff *skb, struct net_device *dev, struct dst_entry *dst,
			      struct passthru_summary header, unsigned long __percpu *counters,
			      unsigned long amount, int (*handler)(struct sk_buff *skb));
int passthru_helper_ip_arrive_at(struct sk_buff *skb, struct net_device *dev,
				 struct dst_entry *dst, struct passthru_summary header,
				 unsigned long __percpu *counters, unsigned long amount,
				 int (*handler)(struct sk_buff *skb), struct sock *sk,
				 void (*destructor)(struct sk_buff *skb));
int passthru_helper_ip6_arrive(struct sk_buff *skb, struct net_device *dev, struct dst_entry *dst,
			       struct passthru_summary header, unsigned long __percpu *counters,
			       unsigned long amount, int (*handler)(struct sk_buff *skb));
int passthru_helper_ip6_arrive_at(struct sk_buff *skb, struct net_device *dev,
				  struct dst_entry *dst, struct passthru_summary header,
				  unsigned long __percpu *counters, unsigned long amount,
				  int (*handler)(struct sk_buff *skb), struct sock *sk,
				  void (*destructor)(struct sk_buff *skb));

void passthru_helper_skb_postpush_rcsum(struct sk_buff *skb, const void *start, unsigned int len);

void passthru_helper_net_inc_stats(const struct net_device *dev, unsigned int number);

int passthru_helper_xfrm_decode_session(struct net *net, struct sk_buff *skb, struct flowi4 *fl4);
struct dst_entry *passthru_helper_xfrm_lookup(struct net *net, struct dst_entry *dst,
					      struct flowi4 *fl4);
void passthru_helper_skb_forward_csum(struct sk_buff *skb);
int passthru_helper_skb_cow_head(struct sk_buff *skb, unsigned int headroom);
void passthru_helper_skb_orphan(struct sk_buff *skb);
bool passthru_helper_xfrm_input_allowed(struct sk_buff *skb, unsigned short family);

bool passthru_helper_skb_is_sent_whole(struct sk_buff *skb, struct net_device *dev);
int passthru_helper_skb_cow_for_route(struct sk_buff *skb);
void passthru_helper_ip_set_len(struct sk_buff *skb);
void passthru_helper_ip_count_request(struct net *net);
struct sk_buff *passthru_helper_l3mdev_ip_out(struct sk_buff *skb);
void passthru_helper_ip6_count_request(struct sk_buff *skb, struct net *net);
struct sk_buff *passthru_helper_l3mdev_ip6_out(struct sk_buff *skb);
void passthru_helper_skb_clear_tstamp(struct sk_buff *skb);
int passthru_helper_skb_orphan_frags_rx(struct sk_buff *skb);
struct sk_buff *passthru_helper_skb_make_room(struct sk_buff *skb, const struct net_device *dev);
struct neighbour *passthru_helper_ip_neighbour(const struct sk_buff *skb, struct net_device *dev);
struct neighbour *passthru_helper_ip6_neighbour(const struct sk_buff *skb, struct net_device *dev);
void passthru_helper_ip_count_out(struct net *net, const struct sk_buff *skb);
void passthru_helper_ip6_count_out(struct net *net, const struct sk_buff *skb);
void passthru_helper_ip6_count_discarded(struct net *net, struct dst_entry *dst);
void passthru_helper_ip6_count_no_route(struct net *net, struct dst_entry *dst);
void passthru_helper_dev_count_dropped(struct net_device *dev);
int passthru_helper_neigh_output(struct neighbour *neigh, struct sk_buff *skb);
bool passthru_helper_neigh_add_header(const struct neighbour *neigh, struct sk_buff *skb);
bool passthru_helper_neigh_build_header(struct neighbour *neigh, struct sk_buff *skb);
bool passthru_helper_dev_wants_more(const struct net_device *dev);
void passthru_helper_skb_prepare_dst(struct sk_buff *skb);
bool passthru_helper_dev_xmit_recursion(void);
netdev_tx_t passthru_helper_skb_start_xmit(struct sk_buff *skb);
bool passthru_helper_dev_xmit_complete(netdev_tx_t answer);
bool passthru_helper_skb_csum_is_sctp(struct sk_buff *skb);
int passthru_helper_ip_output(struct net *net, struct sock *sk, struct sk_buff *skb);
int passthru_helper_dst_output(struct net *net, struct sock *sk, struct sk_buff *skb);
void passthru_helper_ip_depart(struct sk_buff *skb, struct net_device *port, struct dst_entry *dst,
			       u8 tos, unsigned long __percpu *counters, unsigned long amount);
void passthru_helper_ip6_depart(struct sk_buff *skb, struct net_device *port, struct dst_entry *dst,
				unsigned long __percpu *counters, unsigned long amount);
int passthru_helper_ip_judge(struct sk_buff *skb, struct net *net);
int passthru_helper_ip6_judge(struct sk_buff *skb, struct net *net);
void passthru_helper_skb_enter_output(struct sk_buff *skb, unsigned int header_len);
u32 passthru_helper_dst_mtu(const struct dst_entry *dst);
u32 passthru_helper_ip_forward_mtu(const struct dst_entry *dst);
u32 passthru_helper_ip6_forward_mtu(const struct dst_entry *dst);
int passthru_helper_dev_recursion_level(void);
void passthru_helper_skb_pull(struct sk_buff *skb, unsigned int len);
void passthru_helper_skb_push(struct sk_buff *skb, unsigned int len);
void passthru_helper_rt_genid_bump_all(struct net *net);
kuid_t passthru_helper_sock_net_uid(const struct net *net);
int passthru_helper_l3mdev_master_ifindex(const struct net_device *dev);
struct fib6_nh *passthru_helper_nexthop_fib6_nh(struct nexthop *nh);

u32 passthru_helper_udp4_hash(const struct net *net, const struct iphdr *iph);
u32 passthru_helper_udp6_hash(const struct net *net, const struct in6_addr *daddr);
struct sock *passthru_helper_udp4_demux(struct net *net, const struct iphdr *iph, int dif,
					u32 hash);
struct sock *passthru_helper_udp6_demux(struct net *net, const struct ipv6hdr *iph, int dif,
					u32 hash);

void passthru_helper_nf_conn_lock(struct nf_conn *connection);
void passthru_helper_nf_conn_unlock(struct nf_conn *connection);
void passthru_helper_dev_hold(struct net_device *dev);
void passthru_helper_dev_put(struct net_device *dev);
int passthru_helper_notifier_from_errno(int error);
bool passthru_helper_unlikely(bool condition);
unsigned long passthru_helper_softirq_count(void);
void passthru_helper_skb_prepare_for_gro(struct sk_buff *skb);
void passthru_helper_local_bh_disable(void);
void passthru_helper_local_bh_enable(void);
void passthru_helper_preempt_disable_nested(void);
void passthru_helper_preempt_enable_nested(void);
struct softnet_data *passthru_helper_softnet_data(unsigned int cpu);
void passthru_helper_smp_mb(void);
unsigned int passthru_helper_cpu(void);
unsigned int passthru_helper_backlog_end(void);

unsigned long __percpu *passthru_helper_alloc_percpu(unsigned int count);
void passthru_helper_this_cpu_inc(unsigned long __percpu *counter);
void passthru_helper_this_cpu_count(unsigned long __percpu *counters, unsigned long amount);
unsigned long *passthru_helper_per_cpu_ptr(unsigned long __percpu *counter, int cpu);
unsigned int passthru_helper_next_possible_cpu(int cpu);

#endif /* PASSTHRU_HELPERS_H */
