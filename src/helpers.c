// SPDX-License-Identifier: GPL-2.0
/* Those of helpers.h that packets do not pass, or seldom do: the others are in inline.c. */

#include <net/l3mdev.h>
#include <net/net_namespace.h>
#include <net/xfrm.h>

#include "bindings.h"

/* The lock classes are static data of the macro's expansion: this module's. */
void passthru_helper_netdev_lockdep_set_classes(struct net_device *dev)
{
	netdev_lockdep_set_classes(dev);
}

/* Whether another device has all that @dev receives. */
bool passthru_helper_is_lower_of_all(const struct net_device *dev)
{
	return netif_is_bridge_port(dev) || netif_is_bond_slave(dev) || netif_is_team_port(dev) ||
	       netif_is_ovs_port(dev);
}

bool passthru_helper_is_bridge_port(const struct net_device *dev)
{
	return netif_is_bridge_port(dev);
}

void passthru_helper_netdev_hold(struct net_device *dev, netdevice_tracker *tracker)
{
	netdev_hold(dev, tracker, GFP_KERNEL);
}

void passthru_helper_netdev_put(struct net_device *dev, netdevice_tracker *tracker)
{
	netdev_put(dev, tracker);
}

void passthru_helper_eth_hw_addr_random(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

/* Where each namespace has a lock of its own, @dev is queued in its namespace. */
void passthru_helper_unregister_netdevice_queue_net(struct net_device *origin,
						    struct net_device *dev,
						    struct list_head *head)
{
	unregister_netdevice_queue_net(dev_net(origin), dev, head);
}

void passthru_helper_init_work(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

void passthru_helper_schedule_work(struct work_struct *work)
{
	schedule_work(work);
}

/* Exported, and declared in a header of net/netfilter alone. */
void nf_queue_nf_hook_drop(struct net *net);

void passthru_helper_nf_queue_drop_all(void)
{
	struct net *net;

	rcu_read_lock();
	for_each_net_rcu(net)
		nf_queue_nf_hook_drop(net);
	rcu_read_unlock();
}

void passthru_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
	kfree_skb_reason(skb, reason);
}

int passthru_helper_pskb_trim_rcsum(struct sk_buff *skb, unsigned int len)
{
	return pskb_trim_rcsum(skb, len);
}

void passthru_helper_skb_ext_reset(struct sk_buff *skb)
{
	skb_ext_reset(skb);
}

void passthru_helper_skb_reset_ct(struct sk_buff *skb)
{
	nf_reset_ct(skb);
}

/* All that a packet may hold of the namespace that it leaves, but its connection. */
void passthru_helper_skb_strip(struct sk_buff *skb)
{
	skb_orphan(skb);
	skb_dst_drop(skb);
	skb_ext_reset(skb);
}

/* What ip_rcv_options() has written into the header the checksum is not of. */
int passthru_helper_ip_finish_options(struct sk_buff *skb)
{
	if (!IPCB(skb)->opt.is_changed)
		return 0;
	if (skb_ensure_writable(skb, ip_hdrlen(skb)))
		return -ENOMEM;
	ip_send_check(ip_hdr(skb));
	return 0;
}

int passthru_helper_fib_lookup(struct net *net, struct flowi4 *fl4, struct fib_result *found)
{
	*found = (struct fib_result){};
	return fib_lookup(net, fl4, found, 0);
}

void passthru_helper_skb_postpush_rcsum(struct sk_buff *skb, const void *start, unsigned int len)
{
	skb_postpush_rcsum(skb, start, len);
}

int passthru_helper_xfrm_decode_session(struct net *net, struct sk_buff *skb, struct flowi4 *fl4)
{
	return xfrm_decode_session(net, skb, flowi4_to_flowi(fl4), AF_INET);
}

struct dst_entry *passthru_helper_xfrm_lookup(struct net *net, struct dst_entry *dst,
					      struct flowi4 *fl4)
{
	return xfrm_lookup(net, dst, flowi4_to_flowi(fl4), NULL, 0);
}

int passthru_helper_skb_cow_head(struct sk_buff *skb, unsigned int headroom)
{
	return skb_cow_head(skb, headroom);
}

void passthru_helper_skb_orphan(struct sk_buff *skb)
{
	skb_orphan(skb);
}

bool passthru_helper_xfrm_input_allowed(struct sk_buff *skb, unsigned short family)
{
	return xfrm_policy_check(NULL, XFRM_POLICY_IN, skb, family);
}

/* Whether @dev would send a packet as it is: validate_xmit_skb() would do nothing to it. */
bool passthru_helper_skb_is_sent_whole(struct sk_buff *skb, struct net_device *dev)
{
	struct net_device *before = skb->dev;
	netdev_features_t features;

	skb->dev = dev;
	features = netif_skb_features(skb);
	skb->dev = before;
	return !netif_needs_gso(skb, features) &&
	       (skb->ip_summed != CHECKSUM_PARTIAL || features & NETIF_F_HW_CSUM);
}

/* Makes room before the packet for the headers that its route needs. */
int passthru_helper_skb_cow_for_route(struct sk_buff *skb)
{
	return skb_cow(skb, LL_RESERVED_SPACE(skb_dst_dev_rcu(skb)) + skb_dst(skb)->header_len);
}

void passthru_helper_ip_count_request(struct net *net)
{
	IP_INC_STATS(net, IPSTATS_MIB_OUTREQUESTS);
}

struct sk_buff *passthru_helper_l3mdev_ip_out(struct sk_buff *skb)
{
	return l3mdev_ip_out(NULL, skb);
}

void passthru_helper_ip6_count_request(struct sk_buff *skb, struct net *net)
{
	IP6_INC_STATS(net, ip6_dst_idev(skb_dst(skb)), IPSTATS_MIB_OUTREQUESTS);
}

struct sk_buff *passthru_helper_l3mdev_ip6_out(struct sk_buff *skb)
{
	return l3mdev_ip6_out(NULL, skb);
}

void passthru_helper_rt_genid_bump_all(struct net *net)
{
	rt_genid_bump_all(net);
}

kuid_t passthru_helper_sock_net_uid(const struct net *net)
{
	return sock_net_uid(net, NULL);
}

struct fib6_nh *passthru_helper_nexthop_fib6_nh(struct nexthop *nh)
{
	return nexthop_fib6_nh(nh);
}

void passthru_helper_nf_conn_lock(struct nf_conn *connection)
{
	spin_lock(&connection->lock);
}

void passthru_helper_nf_conn_unlock(struct nf_conn *connection)
{
	spin_unlock(&connection->lock);
}

void passthru_helper_dev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

void passthru_helper_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

int passthru_helper_notifier_from_errno(int error)
{
	return notifier_from_errno(error);
}

void passthru_helper_local_bh_disable(void)
{
	local_bh_disable();
}

void passthru_helper_local_bh_enable(void)
{
	local_bh_enable();
}

unsigned long __percpu *passthru_helper_alloc_percpu(unsigned int count)
{
	return __alloc_percpu_gfp(count * sizeof(unsigned long), sizeof(unsigned long),
				  GFP_KERNEL_ACCOUNT);
}

unsigned long *passthru_helper_per_cpu_ptr(unsigned long __percpu *counter, int cpu)
{
	return per_cpu_ptr(counter, cpu);
}

unsigned int passthru_helper_next_possible_cpu(int cpu)
{
	return cpumask_next(cpu, cpu_possible_mask);
}

/*
 * The first half of neigh_connected_output(), which neighbours have whose devices remember no headers. It
 * is not exported: what is not neigh_resolve_output() for a neighbour that is known is that.
 */
bool passthru_helper_neigh_build_header(struct neighbour *neigh, struct sk_buff *skb)
{
	int (*const output)(struct neighbour *neigh, struct sk_buff *skb) = READ_ONCE(neigh->output);
	const struct neigh_ops *ops = neigh->ops;
	const u16 proto = ntohs(skb->protocol);
	unsigned int seq;
	int err;

	if (output == neigh_resolve_output || output != ops->connected_output ||
	    ops->output != neigh_resolve_output)
		return false;
	do {
		__skb_pull(skb, skb_network_offset(skb));
		seq = read_seqbegin(&neigh->ha_lock);
		err = dev_hard_header(skb, neigh->dev, proto, neigh->ha, NULL, skb->len);
	} while (read_seqretry(&neigh->ha_lock, seq));
	return err >= 0;
}
