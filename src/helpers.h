/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Static inlines and macros of the kernel under names that Rust can call; each
 * does what the kernel's function of the same name does.
 */
#ifndef PASSTHRU_HELPERS_H
#define PASSTHRU_HELPERS_H

#include <linux/netdevice.h>
#include <linux/skbuff.h>

void passthru_helper_netdev_lockdep_set_classes(struct net_device *dev);
void passthru_helper_netdev_hold(struct net_device *dev, netdevice_tracker *tracker);
void passthru_helper_netdev_put(struct net_device *dev, netdevice_tracker *tracker);
void passthru_helper_eth_hw_addr_random(struct net_device *dev);
void passthru_helper_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int len);
void passthru_helper_dev_sw_netstats_rx_add(struct net_device *dev, unsigned int len);
void passthru_helper_unregister_netdevice_queue_net(struct net_device *origin,
						    struct net_device *dev,
						    struct list_head *head);

bool passthru_helper_pskb_may_pull(struct sk_buff *skb, unsigned int len);
int passthru_helper_skb_orphan_frags(struct sk_buff *skb);
void passthru_helper_skb_tx_timestamp(struct sk_buff *skb);
bool passthru_helper_skb_is_gso(const struct sk_buff *skb);
void passthru_helper_skb_reset_mac_header(struct sk_buff *skb);
void passthru_helper_skb_reset_network_header(struct sk_buff *skb);
void passthru_helper_skb_postpull_rcsum(struct sk_buff *skb, const void *start, unsigned int len);
void passthru_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason);

unsigned long __percpu *passthru_helper_alloc_percpu(unsigned int count);
void passthru_helper_free_percpu(unsigned long __percpu *counters);
void passthru_helper_this_cpu_inc(unsigned long __percpu *counter);
unsigned long passthru_helper_percpu_sum(const unsigned long __percpu *counter);

unsigned int passthru_helper_num_possible_cpus(void);

#endif /* PASSTHRU_HELPERS_H */
