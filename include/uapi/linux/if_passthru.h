/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Netlink attributes of the link type "passthru".
 *
 * They are nested in IFLA_LINKINFO / IFLA_INFO_DATA beside an IFLA_INFO_KIND
 * of "passthru". The kernel module and the iproute2 plugin are made from this
 * file. The tests have the numbers written down once more: they are an interface,
 * and not to be changed.
 */
#ifndef _UAPI_LINUX_IF_PASSTHRU_H
#define _UAPI_LINUX_IF_PASSTHRU_H

/**
 * enum passthru_attr - attributes in IFLA_INFO_DATA
 * @IFLA_PASSTHRU_UNSPEC: no attribute
 * @IFLA_PASSTHRU_PEER_INFO: the child device: a struct ifinfomsg and then any
 *	IFLA_* attribute that creation takes (name, address, MTU, queues, network
 *	namespace, ...). In requests that create a pair; never dumped.
 * @IFLA_PASSTHRU_MODE: u32, enum passthru_mode. In requests that create a pair;
 *	dumped.
 * @IFLA_PASSTHRU_ROLE: u32, enum passthru_role. Dumped; refused in requests.
 * @IFLA_PASSTHRU_SHORTCUTS: u32, a set of enum passthru_shortcut: those that the
 *	port's packets may take, all others not. In requests that create a pair
 *	or change its port; dumped for the port.
 * @IFLA_PASSTHRU_SPOOFCHK: u32, 0 or 1: whether what the child sends is dropped
 *	unless the parent's routes name the port for its source. In requests that
 *	create a pair or change its port; dumped for the port. 1 where nothing
 *	was said.
 */
enum passthru_attr {
	IFLA_PASSTHRU_UNSPEC,
	IFLA_PASSTHRU_PEER_INFO,
	IFLA_PASSTHRU_MODE,
	IFLA_PASSTHRU_ROLE,
	IFLA_PASSTHRU_SHORTCUTS,
	IFLA_PASSTHRU_SPOOFCHK,
	__IFLA_PASSTHRU_MAX
};

#define IFLA_PASSTHRU_MAX (__IFLA_PASSTHRU_MAX - 1)

/**
 * enum passthru_mode - what a pair carries
 * @PASSTHRU_MODE_L3: IPv4 and IPv6 packets without a link layer header
 * @PASSTHRU_MODE_L2: Ethernet frames
 */
enum passthru_mode {
	PASSTHRU_MODE_L3,
	PASSTHRU_MODE_L2,
	__PASSTHRU_MODE_MAX
};

#define PASSTHRU_MODE_MAX (__PASSTHRU_MODE_MAX - 1)

/**
 * enum passthru_role - which end of its pair a device is
 * @PASSTHRU_ROLE_PORT: the end that was asked for, the parent's
 * @PASSTHRU_ROLE_CHILD: the end that was made with it, the child's
 */
enum passthru_role {
	PASSTHRU_ROLE_PORT,
	PASSTHRU_ROLE_CHILD
};

/**
 * enum passthru_shortcut - where a packet may change namespace early
 * @PASSTHRU_SHORTCUT_DEVICE: where it comes in, before the parent's IP layer
 * @PASSTHRU_SHORTCUT_ROUTE: at the parent's routing decision
 * @PASSTHRU_SHORTCUT_NETFILTER: after the parent's INPUT rules, for addresses
 *	that the parent holds for the child, from which it sends as its own
 * @PASSTHRU_SHORTCUT_SOCKET: as route, for connections of the child, whose
 *	sockets are found first
 * @PASSTHRU_SHORTCUT_OUTPUT: where the child's packets leave it: on by the
 *	parent's output path, or to the child of another port
 */
enum passthru_shortcut {
	PASSTHRU_SHORTCUT_DEVICE = 1 << 0,
	PASSTHRU_SHORTCUT_ROUTE = 1 << 1,
	PASSTHRU_SHORTCUT_NETFILTER = 1 << 2,
	PASSTHRU_SHORTCUT_SOCKET = 1 << 3,
	PASSTHRU_SHORTCUT_OUTPUT = 1 << 4,
};

#endif /* _UAPI_LINUX_IF_PASSTHRU_H */
