#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --nic 1
#
# A child that owns a hardware device beside its pair: the two do not get in
# each other's way, and when the namespace ends the hardware comes home.

. "$(dirname "$0")/lib.sh"
load_module

can_load virtio_net
nic() { # the name of a network device with hardware behind it
	local dev
	for dev in /sys/class/net/*/device; do
		[ -e "$dev" ] && basename "$(dirname "$dev")" && return
	done
	return 1
}
wait_until 5 nic
if ! name=$(nic); then skip_all "no network card in this guest"; fi

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	succeeds "$mode: the card moves into the child" ip link set "$name" netns blue
	fails "$mode: the parent has it no more" has_link - "$name"
	address blue "$name" 192.168.77.2/24
	eventually 5 "$mode: the card runs in the child" equals 1 in_ns blue cat "/sys/class/net/$name/carrier"
	ip -n blue neigh add 192.168.77.9 lladdr 02:00:00:00:00:99 dev "$name"
	before=$(counter blue "$name" tx packets)
	pair_before=$(counter blue c0 tx packets)
	send_udp blue 192.168.77.9 50 100
	eventually 5 "$mode: the card sends what is routed to it" at_least $((before + 50)) counter blue "$name" tx packets
	between $(($(counter blue c0 tx packets) - pair_before)) 0 10 "$mode: the pair does not send it"
	ping_ok "$mode: the pair carries what is routed to it" blue 10.0.1.1
	ping_ok "$mode: and IPv6" blue fd00:1::1

	# The child routes by its own table, card or pair, without asking anybody.
	must ip -n blue route replace default via 192.168.77.9 dev "$name"
	like "$(ip -n blue route get 198.51.100.1)" "dev $name" "$mode: the child's default route may use the card"
	must ip -n blue route replace default via 10.0.1.1 dev c0
	like "$(ip -n blue route get 198.51.100.1)" "dev c0" "$mode: or the pair"

	# From the card's network through the child to the parent, and what the
	# child's own rules say of it.
	must in_ns blue sysctl -qw net.ipv4.ip_forward=1
	must ip route add 192.168.77.0/24 via 10.0.1.2
	ping_ok "$mode: the parent reaches the card's address through the pair" - 192.168.77.2
	ip route del 192.168.77.0/24

	ip netns del blue
	eventually 10 "$mode: the card comes home when the namespace ends" has_link - "$name"
	eventually 10 "$mode: the pair is gone" no_link - p1
	reset_net
done

done_testing
