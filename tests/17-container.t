#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What container tools do with a pair: the child becomes eth0 of a fresh
# namespace, with a default route, address translation, published ports and a
# name server, and it all goes with the container.

. "$(dirname "$0")/lib.sh"
load_module

name_server() {
	background world python3 -S "$TOOLS/echo.py" 53
	# UDP is first.
	wait_until 10 listening world tcp 53
}

# A world beyond: one uplink, one server.
netns_add world
ip link add up0 type veth peer name up1 netns world
address - up0 203.0.113.1/24 2001:db8:113::1/64
address world up1 203.0.113.2/24 2001:db8:113::2/64
echo_server world
name_server
forwarding_on -

start_container() { # NAME NUMBER MODE
	# shellcheck disable=SC2046
	ip netns add "$1" &&
		ip link add "tmp$2" type "$KIND" $(mode_args "$3") peer name "port$2" &&
		ip link set "tmp$2" name "host$2" &&
		ip link set "port$2" netns "$1" name eth0 &&
		ip -n "$1" link set lo up &&
		ip -n "$1" addr add "10.88.$2.2/24" dev eth0 &&
		ip -n "$1" addr add "fd88:$2::2/64" dev eth0 &&
		ip -n "$1" link set eth0 up &&
		ip addr add "10.88.$2.1/24" dev "host$2" &&
		ip addr add "fd88:$2::1/64" dev "host$2" &&
		ip link set "host$2" up &&
		ip -n "$1" route add default via "10.88.$2.1" dev eth0 &&
		ip -n "$1" -6 route add default via "fd88:$2::1" dev eth0
}

# shellcheck disable=SC2317 # called by name
settled() { # NS NUMBER: both ends
	! { ip -n "$1" -6 addr show dev eth0 && ip -6 addr show dev "host$2"; } | grep -q tentative
}

# A namespace that ends waits for others that end at the same time, and all of them
# for grace periods.
SOON=20

number=0
for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	number=$((number + 1))
	sysctl -qw net.ipv6.conf.default.accept_dad=1
	succeeds "$mode: a container is set up" start_container box $number $mode
	eventually "$SOON" "$mode: its addresses pass duplicate address detection" settled box $number
	unlike "$(ip -n box -6 addr show dev eth0)" dadfailed "$mode: none is found to be double"
	ping_ok "$mode: it reaches its parent" box 10.88.$number.1
	ping_ok "$mode: it reaches its parent by IPv6" box fd88:$number::1
	ping_ok "$mode: and itself" box 10.88.$number.2

	if can_load nft_nat && can_load nft_masq; then
		must nft "table inet nat {
			chain post { type nat hook postrouting priority 100; oifname up0 masquerade; }
			chain pre { type nat hook prerouting priority -100; iifname up0 tcp dport 7777 dnat ip to 10.88.$number.2:7777; }
		}"
		probe "$mode: out to the world, translated: " box tcp:203.0.113.2 udp:203.0.113.2 tcp:2001:db8:113::2 udp:2001:db8:113::2
		from_tool "$mode: name service: " ip netns exec box python3 -S "$TOOLS/probe.py" --port 53 --wait "$PATIENCE" --size 60 udp:203.0.113.2 tcp:203.0.113.2
		echo_server box container
		probe "$mode: a published port: " world --expect container tcp:203.0.113.1
		# A connection that loses its translation on its last way ends in minutes only,
		# and with it the container.
		must wait_until "$SOON" no_connection box
		conntrack -F 2>/dev/null
		nft flush ruleset
	else
		skip "no nft nat" "$mode: address translation"
	fi

	# A container in the container.
	netns_add inner
	must ip -n box link add in0 type "$KIND" peer name eth0 netns inner
	address box in0 10.99.0.1/24
	address inner eth0 10.99.0.2/24
	runs box in0
	must ip -n inner route add default via 10.99.0.1
	must in_ns box sysctl -qw net.ipv4.ip_forward=1
	must ip route add 10.99.0.0/24 via 10.88.$number.2
	ping_ok "$mode: a container's container reaches the host" inner 10.88.$number.1
	ip route del 10.99.0.0/24
	ip netns del inner

	end_background
	succeeds "$mode: the container is removed" ip netns del box
	eventually "$SOON" "$mode: the host's end goes with it" no_link - "host$number"
	is "$(ip route | grep -c "host$number")" 0 "$mode: and its routes"
	echo_server world
	name_server
	no_dad -
done

# Several at a time, as a busy host starts and stops them.
pids=()
for i in 11 12 13 14 15; do
	(start_container "box$i" "$i" l3 2>/dev/null &&
		wait_until "$SOON" pings "box$i" "10.88.$i.1" &&
		ip netns del "box$i" &&
		wait_until "$SOON" no_link - "host$i") &
	pids+=("$!")
done
failures=0
for pid in "${pids[@]}"; do wait "$pid" || failures=$((failures + 1)); done
is "$failures" 0 "five containers start, work and stop at once"

done_testing
