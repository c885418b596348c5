#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packets of all kinds, by each shortcut: fragments, options, broken ones, large
# ones, errors, TTL, path MTU, connections in all states.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3

# A router and a host far away, by a link with a small MTU.
netns_add far
forwarding_on outside
must ip -n outside link add small mtu 1300 type veth peer name far0 mtu 1300 netns far
address outside small 198.51.101.1/24 3fff:8::1/64
address far far0 198.51.101.2/24 3fff:8::2/64
must ip -n outside route add 198.51.100.9 via 198.51.101.2
must ip -n outside -6 route add 3fff:9::9 via 3fff:8::2
must ip route add 198.51.100.9 via 192.0.2.2
must ip -6 route add 3fff:9::9 via 2001:db8:2::2
must ip -6 route add 3fff:8::/64 via 2001:db8:2::2
must ip route add 198.51.101.0/24 via 192.0.2.2

tool shortcut_stack packets

# refused FAMILY: datagrams that blue had no socket for.
# shellcheck disable=SC2016,SC2317 # awk expands; called by name
refused() {
	case $1 in
	IPv4) in_ns blue awk '$1 == "Udp:" && $3 ~ /^[0-9]/ { print $3 }' /proc/net/snmp ;;
	IPv6) in_ns blue awk '$1 == "Udp6NoPorts" { print $2 }' /proc/net/snmp6 ;;
	esac
}

# pktgen COMMAND...: what it is to send by up0.
pktgen() {
	local command
	for command; do must sh -c "echo '$command' >/proc/net/pktgen/up0"; done
}

# Packets that their sender holds as well, and sends again once nobody else does: pktgen sends each
# eight times. What the child does to one must not be seen in the next.
shared() { # FAMILY ADDRESS
	local family=$1 address=$2 words before
	for words in none device route route,socket netfilter all; do
		must ip link set p1 type passthru shortcut "$words"
		[ "$words" != netfilter ] || must ip route add local "$address" dev p1
		before=$(refused "$family")
		must sh -c 'echo start >/proc/net/pktgen/pgctrl'
		eventually 5 "$family, shortcut $words: packets that their sender holds" equals $((before + 96)) refused "$family"
		[ "$words" != netfilter ] || must ip route del local "$address" dev p1
	done
	must ip link set p1 type passthru shortcut none
}

if can_load pktgen; then
	must sh -c 'echo rem_device_all >/proc/net/pktgen/kpktgend_0; echo add_device up0 >/proc/net/pktgen/kpktgend_0'
	pktgen "xmit_mode netif_receive" "count 96" "burst 8" "delay 0" "pkt_size 100" "dst 10.0.1.2" \
		"src_min 192.0.2.2" "src_max 192.0.2.2" "udp_dst_min 7" "udp_dst_max 7" \
		"dst_mac $(link_value - up0 address)" "src_mac $(link_value outside out0 address)"
	shared IPv4 10.0.1.2
	# Without a sum IPv6 takes no datagram.
	pktgen "flag UDPCSUM" "dst6 fd00:1::2" "src6 2001:db8:2::2"
	shared IPv6 fd00:1::2
	must sh -c 'echo rem_device_all >/proc/net/pktgen/kpktgend_0'
else
	skip "no pktgen" "packets that their sender holds"
fi

done_testing
