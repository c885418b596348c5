#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --cpus 1
#
# The range of the MTU, what happens above it, and that a child learns of a
# smaller MTU further on.

. "$(dirname "$0")/lib.sh"
load_module

frames() { # FILE FILTER...
	captured "$@" | wc -l
}

drops() { # all that both ends dropped
	local sum=0 key
	for key in rx_dropped tx_dropped rx_errors tx_errors; do
		sum=$((sum + $(cat "/sys/class/net/p1/statistics/$key") + $(in_ns blue cat "/sys/class/net/c0/statistics/$key")))
	done
	echo "$sum"
}

too_long() { # what the port dropped for that
	ethtool -S p1 | sed -n 's/^ *tx_drop_too_long: //p'
}

TRACE=/sys/kernel/tracing
can_trace_drops

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1

	# The range.
	is "$(link_value - p1 min_mtu) $(link_value - p1 max_mtu)" "68 65535" "$mode: the port's range"
	is "$(link_value blue c0 min_mtu) $(link_value blue c0 max_mtu)" "68 65535" "$mode: the child's range"
	fails_like "$mode: the port refuses 67" "less than device minimum" ip link set p1 mtu 67
	fails_like "$mode: the port refuses 65536" "greater than device maximum" ip link set p1 mtu 65536
	fails_like "$mode: the child refuses 67" "less than device minimum" ip -n blue link set c0 mtu 67
	fails_like "$mode: the child refuses 65536" "greater than device maximum" ip -n blue link set c0 mtu 65536
	# shellcheck disable=SC2046
	fails_like "$mode: no pair with a port of 65536" "greater than device maximum|Invalid" ip link add bad mtu 65536 type "$KIND" $(mode_args "$mode") peer name bad1
	# shellcheck disable=SC2046
	fails_like "$mode: no pair with a child of 67" "less than device minimum|Invalid" ip link add bad type "$KIND" $(mode_args "$mode") peer name bad1 mtu 67
	is "$(links_of - | grep -c bad)" 0 "$mode: nothing was made of them"

	# The smallest: IPv4 in fragments of 48 bytes.
	must ip link set p1 mtu 68
	must ip -n blue link set c0 mtu 68
	ping_ok "$mode: IPv4 in fragments at MTU 68" - 10.0.1.2 -s 200 -M "dont"
	ping_ok "$mode: IPv4 in fragments at MTU 68, from the child" blue 10.0.1.1 -s 200 -M "dont"

	# The largest, in one piece.
	must ip link set p1 mtu 65535
	must ip -n blue link set c0 mtu 65535
	address - p1 fd00:1::1/64 # IPv6 left with the small MTU
	address blue c0 fd00:1::2/64
	ip -n blue -6 route add default via fd00:1::1
	capture blue c0 "$SCRATCH/large.pcap" icmp or icmp6
	ping_ok "$mode: 65535 bytes of IPv4" - 10.0.1.2 -s 65507 -M "do"
	ping_ok "$mode: 65535 bytes of IPv6" - fd00:1::2 -s 65487 -M "do"
	capture_end
	is "$(frames "$SCRATCH/large.pcap" 'icmp[0] = 8 or icmp[0] = 0')" 2 "$mode: 65535 bytes of IPv4: one packet each way"
	is "$(frames "$SCRATCH/large.pcap" 'icmp6 and (ip6[40] = 128 or ip6[40] = 129)')" 2 "$mode: 65535 bytes of IPv6: one packet each way"

	# A receiver with a smaller MTU: what is too long for it is dropped and
	# counted; what fits, and what can be cut, passes.
	must ip link set p1 mtu 1500
	must ip -n blue link set c0 mtu 1300
	is "$(link_value - p1 mtu)" 1500 "$mode: one end's MTU is its own"
	before=$(drops)
	fails "$mode: 1500 bytes do not enter a device of 1300" pings - 10.0.1.2 -s 1472 -M "do"
	isnt "$(drops)" "$before" "$mode: the packet is counted as dropped"
	before=$(drops)
	discard_server blue
	too_long=$(too_long)
	[ ! -e "$TRACE/trace" ] || { echo >"$TRACE/trace" && echo 1 >"$TRACE/events/skb/kfree_skb/enable"; }
	send_udp - 10.0.1.2 3 1472
	is "$(drops)" $((before + 3)) "$mode: each packet is counted as dropped once"
	if [ "$KIND" = passthru ]; then
		is "$(too_long)" $((too_long + 3)) "$mode: ... because it is too long"
	fi
	if [ -e "$TRACE/trace" ]; then
		echo 0 >"$TRACE/events/skb/kfree_skb/enable"
		is "$(grep -c 'reason: PKT_TOO_BIG' "$TRACE/trace")" 3 "$mode: ... and the kernel says so"
	else
		skip "no drop tracing" "$mode: ... and the kernel says so"
	fi
	ping_ok "$mode: 1300 bytes do" - 10.0.1.2 -s 1272 -M "do"
	echo_server blue
	probe "$mode: TCP across unequal MTUs: " - --size 200000 tcp:10.0.1.2 tcp:fd00:1::2
	must ip -n blue link set c0 mtu 1500

	# A smaller MTU behind the parent.
	netns_add far
	ip link add up0 mtu 1300 type veth peer name up1 mtu 1300 netns far
	address - up0 10.0.9.1/24 fd00:9::1/64
	address far up1 10.0.9.2/24 fd00:9::2/64
	ip -n far route add default via 10.0.9.1
	ip -n far -6 route add default via fd00:9::1
	forwarding_on -
	echo_server far
	fails_like "$mode: fragmentation needed reaches the child" "mtu ?= ?1300" in_ns blue ping -n -c 1 -W "$PATIENCE" -s 1400 -M "do" 10.0.9.2
	like "$(ip -n blue route get 10.0.9.2)" "mtu 1300" "$mode: the child remembers the path MTU (IPv4)"
	fails_like "$mode: packet too big reaches the child" "mtu ?= ?1300" in_ns blue ping -n -c 1 -W "$PATIENCE" -s 1400 -M "do" fd00:9::2
	like "$(ip -n blue route get fd00:9::2)" "mtu 1300" "$mode: the child remembers the path MTU (IPv6)"
	ip -n blue route flush cache
	ip -n blue -6 route flush cache
	probe "$mode: TCP finds the path MTU: " blue --size 200000 tcp:10.0.9.2 tcp:fd00:9::2

	# A port smaller than what arrives for its child: the parent says so.
	must ip link set up0 mtu 1500
	must ip -n far link set up1 mtu 1500
	must ip link set p1 mtu 1400
	must ip -n blue link set c0 mtu 1400
	fails_like "$mode: fragmentation needed for a small port" "mtu ?= ?1400" in_ns far ping -n -c 1 -W "$PATIENCE" -s 1450 -M "do" 10.0.1.2
	fails_like "$mode: packet too big for a small port" "mtu ?= ?1400" in_ns far ping -n -c 1 -W "$PATIENCE" -s 1450 -M "do" fd00:1::2
	reset_net
done

done_testing
