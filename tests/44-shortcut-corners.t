#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What shortcuts must leave to others: routes that wrap packets, what the parent's
# OUTPUT sends back to the parent, what is held for a child, tunnels, neighbours that
# are yet to be found, who is behind a child's bridge or shares its device; and what a
# child's root changes while it is looked at.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
# The link layer has a part in some of it, and the rest is the same.
modprobe -q -a ip_gre ip6_gre ipip ip6_tunnel fou fou6 bridge macvlan vrf 2>/dev/null

for mode in l3 l2; do
	steady_code
	world "$mode"
	tool shortcut_corners "$mode"
	reset_net
done

# --- Behind the child ----------------------------------------------------------
# The port's neighbours say whose an address is. The child's device is not its owner.
behind() { # WHAT
	local list from to
	for list in $(scale "none output route device all" "output all"); do
		for port in p1 p2; do must ip link set "$port" type "$KIND" shortcut "$list"; done
		for to in 10.0.2.9 fd00:2::9; do
			for from in blue outside; do
				ping_ok "shortcut $list: from $from to who $1 ($to)" "$from" "$to" -c 3 -i 0.05
			done
		done
	done
}

inner() { # DEV: the one behind red
	must ip -n inner addr add 10.0.2.9/24 dev "$1"
	must ip -n inner addr add fd00:2::9/64 dev "$1" nodad
	must ip -n inner link set "$1" up
	must ip -n inner route add default via 10.0.2.1
	must ip -n inner -6 route add default via fd00:2::1
}

# Red itself would send nothing on.
walled() {
	steady_code
	world l2
	netns_add inner
	forwarding_on red
	must in_ns red nft -f - <<-'RULES'
		table inet wall {
			chain f { type filter hook forward priority 0; policy drop; }
		}
	RULES
}

walled
if ip -n red link add br0 type bridge 2>/dev/null; then
	must ip -n red link set br0 up
	must ip -n red link add b0 type veth peer name v0 netns inner
	must ip -n red link set b0 up master br0
	must ip -n red link set c0 master br0
	inner v0
	behind "is behind its bridge"
else
	skip "this kernel has no bridges" "who is behind a child's bridge"
fi
reset_net

walled
if ip -n red link add m0 link c0 type macvlan mode bridge 2>/dev/null; then
	must ip -n red link set m0 netns inner
	inner m0
	behind "shares its device"
else
	skip "this kernel has no macvlan" "who shares a child's device"
fi
reset_net

# What is for such a device in the child itself comes in by that, and by no other.
steady_code
world l2
by_route() { ethtool -S p2 | sed -n 's/^ *rx_route: //p'; }
must ip link set p2 type "$KIND" shortcut route
before=$(by_route)
for to in 10.0.2.2 fd00:2::2; do ping_ok "a child whose device is its own ($to)" outside "$to" -c 5 -i 0.2; done
is "$(by_route)" $((before + 10)) "... has it all by the shortcut"
if ip -n red link add m0 link c0 type macvlan mode bridge 2>/dev/null; then
	before=$(by_route)
	for to in 10.0.2.2 fd00:2::2; do ping_ok "... and goes on having it when a macvlan has come ($to)" outside "$to" -c 3 -i 0.05; done
	is "$(by_route)" "$before" "... but by its device"
	batch red "addr add 10.0.2.7/32 dev m0" "addr add fd00:2::7/128 dev m0 nodad" "link set m0 up"
	must in_ns red nft -f - <<-'RULES'
		table inet by {
			chain i { type filter hook input priority 0; iifname "m0" ip daddr 10.0.2.7 accept; iifname "m0" ip6 daddr fd00:2::7 accept
				ip daddr 10.0.2.7 drop; ip6 daddr fd00:2::7 icmpv6 type echo-request drop; }
		}
	RULES
	# Who asks for the way back says where it came from, and that is not where it is.
	for to in 10.0.2.7 fd00:2::7; do
		must ip neigh replace "$to" lladdr "$(link_value red m0 address)" dev p2 nud permanent
	done
	for list in none route device,route all; do
		must ip link set p2 type "$KIND" shortcut "$list"
		for to in 10.0.2.7 fd00:2::7; do
			ping_ok "shortcut $list: a macvlan of the child's own has what is for it ($to)" outside "$to" -c 3 -i 0.05
		done
	done
else
	skip "this kernel has no macvlan" "a macvlan of the child's own"
fi

done_testing
