// SPDX-License-Identifier: GPL-2.0
/* Static inlines and macros of the kernel, as functions that Rust can call. */

#include "bindings.h"

void passthru_helper_netdev_lockdep_set_classes(struct net_device *dev)
{
	netdev_lockdep_set_classes(dev);
}
