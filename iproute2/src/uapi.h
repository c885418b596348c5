/* SPDX-License-Identifier: GPL-2.0 */
/* What the plugin takes from C headers; see uapi.rs. */

#include <linux/rtnetlink.h>
#include <linux/if_passthru.h>
