/* SPDX-License-Identifier: GPL-2.0 */
/* Functions in helpers.c: static inlines and macros of the kernel, by name. */
#ifndef PASSTHRU_HELPERS_H
#define PASSTHRU_HELPERS_H

struct net_device;

void passthru_helper_netdev_lockdep_set_classes(struct net_device *dev);

#endif /* PASSTHRU_HELPERS_H */
