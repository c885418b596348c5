#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --nic 2
#
# A child that owns a hardware device beside its pair: packets go by the one and by
# the other and from one to the other, and when the namespace ends the hardware
# comes home.
#
#	parent p1 === c0 blue card ----- card lan

. "$(dirname "$0")/lib.sh"
load_module

can_load virtio_net

# User Mode Linux has none.
if [ "$LAB" = uml ]; then skip_all "no network cards in this lab"; fi
eventually "$PATIENCE" "two cards on one wire are there" two_cards
read -r card far <<<"$(cards | xargs)"

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	netns_add lan
	succeeds "$mode: the card moves into the child" ip link set "$card" netns blue
	fails "$mode: the parent has it no more" has_link - "$card"
	must ip link set "$far" netns lan
	# QEMU has a router on the wire, which would have the default route for IPv6.
	must in_ns blue sysctl -qw "net.ipv6.conf.$card.accept_ra=0"
	must in_ns lan sysctl -qw "net.ipv6.conf.$far.accept_ra=0"
	must ip -n blue link set "$card" up
	must ip -n lan link set "$far" up
	# A VLAN, because that router answers TCP for everybody, and knows no VLANs.
	must ip -n blue link add link "$card" name wire type vlan id 7
	must ip -n lan link add link "$far" name wire type vlan id 7
	address blue wire 192.168.77.2/24 fd77::2/64
	address lan wire 192.168.77.9/24 fd77::9/64
	eventually 5 "$mode: the card runs in the child" equals 1 carrier blue "$card"
	must wait_until 5 equals 1 carrier lan wire
	must wait_until 5 equals 1 carrier blue wire
	ping_ok "$mode: the wire carries IPv4" blue 192.168.77.9
	ping_ok "$mode: the wire carries IPv6" blue fd77::9

	# Each carries what is routed to it.
	discard_server lan
	before=$(counter lan wire rx packets) pair_before=$(counter blue c0 tx packets)
	send_udp blue 192.168.77.9 50 100
	eventually 5 "$mode: what is routed to the card arrives at its other end" at_least $((before + 50)) counter lan wire rx packets
	between $(($(counter blue c0 tx packets) - pair_before)) 0 10 "$mode: the pair does not send it"
	ping_ok "$mode: the pair carries what is routed to it" blue 10.0.1.1
	ping_ok "$mode: and IPv6" blue fd00:1::1

	# The child routes by its own table, card or pair, without asking anybody.
	must ip -n blue route replace default via 192.168.77.9 dev wire
	like "$(ip -n blue route get 198.51.100.1)" "dev wire" "$mode: the child's default route may use the card"
	must ip -n blue route replace default via 10.0.1.1 dev c0
	like "$(ip -n blue route get 198.51.100.1)" "dev c0" "$mode: or the pair"

	# Through card and pair: the child is a router between the parent and the wire.
	forwarding_on blue
	must ip route add 192.168.77.0/24 via 10.0.1.2
	must ip -6 route add fd77::/64 via fd00:1::2
	batch lan "route add default via 192.168.77.2" "route add default via fd77::2"
	echo_server -
	echo_server lan
	for way in "- lan 192.168.77.9 fd77::9" "lan - 10.0.1.1 fd00:1::1"; do
		read -r from to ipv4 ipv6 <<<"$way"
		[ "$to" = - ] && to=parent
		ping_ok "$mode: through card and pair to $to: ping IPv4" "$from" "$ipv4" -s 1400
		ping_ok "$mode: through card and pair to $to: ping IPv6" "$from" "$ipv6" -s 1400
		probe "$mode: through card and pair to $to: " "$from" --size 100000 "tcp:$ipv4" "tcp:$ipv6"
		probe "$mode: through card and pair to $to: " "$from" "udp:$ipv4" "udp:$ipv6"
	done
	end_background

	ip netns del blue
	eventually 10 "$mode: the card comes home when the namespace ends" has_link - "$card"
	eventually 10 "$mode: the pair is gone" no_link - p1
	ip netns del lan
	eventually 10 "$mode: the other card comes home" has_link - "$far"
	reset_net
done

done_testing
