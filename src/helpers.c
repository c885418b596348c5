// SPDX-License-Identifier: GPL-2.0
/* See helpers.h. */

#include "bindings.h"

/* The lock classes are static data of the macro's expansion: this module's. */
void passthru_helper_netdev_lockdep_set_classes(struct net_device *dev)
{
	netdev_lockdep_set_classes(dev);
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

void passthru_helper_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int len)
{
	dev_sw_netstats_tx_add(dev, 1, len);
}

void passthru_helper_dev_sw_netstats_rx_add(struct net_device *dev, unsigned int len)
{
	dev_sw_netstats_rx_add(dev, len);
}

/* Where each namespace has a lock of its own, @dev is queued in its namespace. */
void passthru_helper_unregister_netdevice_queue_net(struct net_device *origin,
						    struct net_device *dev,
						    struct list_head *head)
{
	unregister_netdevice_queue_net(dev_net(origin), dev, head);
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

bool passthru_helper_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
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

void passthru_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
	kfree_skb_reason(skb, reason);
}

unsigned long __percpu *passthru_helper_alloc_percpu(unsigned int count)
{
	return __alloc_percpu(count * sizeof(unsigned long), sizeof(unsigned long));
}

void passthru_helper_free_percpu(unsigned long __percpu *counters)
{
	free_percpu(counters);
}

void passthru_helper_this_cpu_inc(unsigned long __percpu *counter)
{
	this_cpu_inc(*counter);
}

unsigned long passthru_helper_percpu_sum(const unsigned long __percpu *counter)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}

unsigned int passthru_helper_num_possible_cpus(void)
{
	return num_possible_cpus();
}
