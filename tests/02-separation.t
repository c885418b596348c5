#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A namespace behind a pair is separate: its devices, routes, rules, tables,
# sockets, connections and switches are its own, and a packet that crosses takes
# nothing of the other side along.

. "$(dirname "$0")/lib.sh"
load_module

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	child "$mode" red 2
	ip -n blue link set c0 name eth0
	ip -n red link set c0 name eth0
	ip link add secret type dummy

	is "$(links_of blue)$(ip -n blue -br link show | grep -c '^eth0@')" 1 "$mode: the child sees its own device only"
	fails "$mode: the child cannot name the port" ip -n blue link show dev p1
	fails "$mode: the child cannot name another device of the parent" ip -n blue link show dev secret
	is "$(in_ns blue ls /sys/class/net | xargs)" "$(ip -n blue -br link show | sed 's/[@ ].*//' | sort | xargs)" \
		"$mode: sysfs of the child lists the child's devices"

	# Routes and rules.
	parent_routes=$(ip route show table all; ip -6 route show table all)
	ip -n blue route add 192.0.2.0/24 dev eth0
	ip -n blue route add blackhole 198.51.100.0/24
	ip -n blue rule add pref 100 from 10.0.1.2 lookup 100
	ip route add blackhole 203.0.113.0/24
	unlike "$(ip -n blue route show table all)" 203.0.113 "$mode: the child does not see the parent's routes"
	ip route del blackhole 203.0.113.0/24
	is "$(ip route show table all; ip -6 route show table all)" "$parent_routes" "$mode: the parent's routes are as they were"
	unlike "$(ip rule)" "lookup 100" "$mode: the parent's rules are as they were"
	unlike "$(ip -n red route show table all)" "192.0.2|198.51" "$mode: the sibling's routes are as they were"

	# The same port in all three.
	echo_server - parent
	echo_server blue blue
	echo_server red red
	probe "$mode: same port, blue: " - --expect blue tcp:10.0.1.2 udp:10.0.1.2 tcp:fd00:1::2
	probe "$mode: same port, red: " - --expect red tcp:10.0.2.2 udp:10.0.2.2 tcp:fd00:2::2
	probe "$mode: same port, parent: " blue --expect parent tcp:10.0.1.1 udp:10.0.1.1 tcp:fd00:1::1
	probe "$mode: same port, a child's own loopback: " blue --expect blue tcp:127.0.0.1 udp:::1
	is "$(in_ns blue ss -Hnlt | wc -l)" 1 "$mode: the child lists its own listener only"
	# Addresses of the parent that no route leads to are out of the child's reach.
	ip addr add 172.16.9.9/32 dev lo
	ip -n blue route del default
	probe "$mode: no route, no way: " blue --wait 0.5 '!tcp:172.16.9.9' '!udp:172.16.9.9'
	ip addr del 172.16.9.9/32 dev lo

	# Netfilter: one table name, three tables.
	if can_load nf_tables; then
		must in_ns blue nft 'table inet t { chain in { type filter hook input priority 0; udp dport 7777 drop; }; }'
		is "$(nft list tables)$(in_ns red nft list tables)" "" "$mode: the child's table is the child's"
		probe "$mode: the child's rule drops: " - --wait 0.5 '!udp:10.0.1.2'
		probe "$mode: the child's rule is no other's: " - --expect red udp:10.0.2.2
		in_ns blue nft flush ruleset
		must nft 'table inet t { chain out { type filter hook output priority 0; meta mark set 7; meta priority set 1:7 ; }; }'
		must in_ns blue nft 'table inet t { chain pre { type filter hook prerouting priority -300; meta mark 7 counter name m; meta priority 1:7 counter name p; iifname eth0 counter name seen; }; counter m {}; counter p {}; counter seen {}; }'
		must answers - 10.0.1.2
		must answers - fd00:1::2
		unlike "$(in_ns blue nft list counter inet t seen)" "packets 0" "$mode: the child's rules see packets"
		like "$(in_ns blue nft list counter inet t m)" "packets 0" "$mode: a mark does not cross"
		like "$(in_ns blue nft list counter inet t p)" "packets 0" "$mode: a priority does not cross"
		nft flush ruleset
		in_ns blue nft flush ruleset
	else
		skip "no nf_tables" "$mode: netfilter"
	fi

	# Connection tracking.
	if can_load nf_conntrack && can_load nft_ct; then
		# Of UDP, for neighbours that are looked for are untracked anywhere.
		must nft 'table inet track { chain in { type filter hook prerouting priority 0; ct state invalid drop; }; }'
		must in_ns blue nft 'table inet track { chain in { type filter hook input priority 0; meta l4proto udp ct state new counter name fresh; }; counter fresh {}; }'
		# Entries are to be there for as long as they are asked for.
		for ns in - blue; do
			must in_ns "$ns" sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600 net.netfilter.nf_conntrack_udp_timeout_stream=600
		done
		must conntrack -F
		probe "$mode: tracked on both sides: " - --expect blue udp:10.0.1.2
		like "$(in_ns blue nft list counter inet track fresh)" "packets 1 " "$mode: the child's conntrack sees a new connection"
		is "$(conntrack -L -d 10.0.1.2 -p udp 2>/dev/null | wc -l)" 1 "$mode: one entry in the parent"
		is "$(in_ns blue conntrack -L -d 10.0.1.2 -p udp 2>/dev/null | wc -l)" 1 "$mode: one entry in the child"
		is "$(in_ns red conntrack -L 2>/dev/null | wc -l)" 0 "$mode: none in the sibling"
		# What the parent does not track the child may: "untracked" stays behind.
		must nft 'table inet untrack { chain out { type filter hook output priority -300; notrack; }; }'
		must in_ns blue nft 'table inet track { chain un { type filter hook input priority 0; meta l4proto udp ct state untracked counter name un; }; counter un {}; }'
		probe "$mode: tracked on the child's side only: " - --expect blue udp:10.0.1.2
		like "$(in_ns blue nft list counter inet track un)" "packets 0 " "$mode: nothing is untracked for the child"
		like "$(in_ns blue nft list counter inet track fresh)" "packets 2 " "$mode: the child's conntrack sees a second connection"
		nft delete table inet untrack
		in_ns blue conntrack -F 2>/dev/null
		is "$(conntrack -L -d 10.0.1.2 -p udp 2>/dev/null | wc -l)" 1 "$mode: the parent's entry outlives the child's"
	else
		skip "no nf_conntrack" "$mode: connection tracking"
	fi

	# Switches and neighbours.
	in_ns blue sysctl -qw net.ipv4.ip_default_ttl=33 net.ipv4.ip_forward=1
	is "$(sysctl -n net.ipv4.ip_default_ttl) $(in_ns red sysctl -n net.ipv4.ip_default_ttl)" "64 64" "$mode: a child's sysctl is the child's"
	is "$(sysctl -n net.ipv4.ip_forward) $(in_ns red sysctl -n net.ipv4.ip_forward)" "0 0" "$mode: a child's forwarding is the child's"
	ip -n blue neigh add 10.0.1.77 lladdr 02:00:00:00:00:77 dev eth0
	is "$(ip neigh show 10.0.1.77)" "" "$mode: a child's neighbour is the child's"

	# The parent's packets to itself are not seen by the child.
	capture blue any "$SCRATCH/any.pcap" icmp
	must answers - 127.0.0.1
	must answers - 10.0.2.2
	must answers - 10.0.1.2
	capture_end
	is "$(captured "$SCRATCH/any.pcap" | grep -c 'echo request')" 1 "$mode: the child's tap sees the child's packets only"
	reset_net
done

done_testing
