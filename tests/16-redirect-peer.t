#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A program on the parent's uplink hands packets straight to a child with
# bpf_redirect_peer(): they arrive, and the child's device counts them. One in the
# child does not get into the parent so.

. "$(dirname "$0")/lib.sh"
load_module

# matched COUNT: so many packets met the child's rule.
# shellcheck disable=SC2317 # called by name
matched() {
	in_ns blue nft list counter inet t n | grep "packets $1 "
}

# The same for what is for the child by IPv6; neighbours are found as ever.
by_ipv6() {
	local sent received
	must sysctl -qw net.ipv6.conf.p1.disable_ipv6=0
	must in_ns blue sysctl -qw net.ipv6.conf.c0.disable_ipv6=0
	address - p1 fd00:1::1/64
	address blue c0 fd00:1::2/64
	must ip -n blue route replace default via fd00:1::1
	must tc filter add dev up0 ingress protocol ipv6 prio 1 flower ip_proto icmpv6 action pass
	must tc filter add dev up0 ingress protocol ipv6 prio 2 bpf direct-action object-pinned "$program"
	ping_ok "$mode: IPv6: the full path works" far fd00:1::2
	sent=$(counter - p1 tx packets)
	received=$(counter blue c0 rx packets)
	send_udp far fd00:1::2 300 100
	eventually 5 "$mode: IPv6: the child counts every redirected packet" at_least $((received + 300)) counter blue c0 rx packets
	# Who has just got addresses tells of it.
	between "$(counter - p1 tx packets)" "$sent" $((sent + 30)) "$mode: IPv6: none of them took the port's way"
	probe "$mode: from afar: " far tcp:fd00:1::2 udp:fd00:1::2
}

# entered COUNT: so many packets have come by the port for nobody's address.
# shellcheck disable=SC2317 # called by name
entered() {
	nft list counter inet w n | grep -q "packets $1 "
}

# A child has no such way into its parent, past the check of its sources.
from_within() {
	local before
	mkdir -p "$SCRATCH/programs"
	mount -t bpf bpf "$SCRATCH/programs"
	must python3 -S "$TOOLS/bpf_redirect_peer.py" "$(in_ns blue cat /sys/class/net/c0/ifindex)" "$SCRATCH/programs/up"
	must ip -n blue link add x0 type veth peer name x1
	address blue x0 10.0.8.1/24
	must ip -n blue link set x1 up
	must ip -n blue neigh replace 10.0.8.9 dev x0 lladdr "$(in_ns blue cat /sys/class/net/x1/address)"
	must nft 'table inet w { chain p { type filter hook prerouting priority 0; ip daddr 10.0.8.9 counter name n; }; counter n {}; }'
	must in_ns blue tc qdisc add dev x1 clsact
	must in_ns blue tc filter add dev x1 ingress protocol ip bpf direct-action object-pinned "$SCRATCH/programs/up"
	before=$(counter blue x1 rx packets)
	send_udp blue 10.0.8.9 20 100
	eventually 5 "$mode: packets meet a program in the child" at_least $((before + 20)) counter blue x1 rx packets
	succeeds "$mode: ... and none of them gets into the parent by it" entered 0
	must nft delete table inet w
	must ip -n blue link del x0
	umount "$SCRATCH/programs"
}

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf 2>/dev/null
for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	quiet - p1
	quiet blue c0
	netns_add far
	ip link add up0 type veth peer name up1 netns far
	address - up0 10.0.9.1/24 fd00:9::1/64
	address far up1 10.0.9.2/24 fd00:9::2/64
	ip -n far route add default via 10.0.9.1
	ip -n far route add default via fd00:9::1
	forwarding_on -
	discard_server blue
	echo_server blue
	ping_ok "$mode: the full path works" far 10.0.1.2

	program=/sys/fs/bpf/redirect-$mode
	if ! python3 -S "$TOOLS/bpf_redirect_peer.py" "$(cat /sys/class/net/p1/ifindex)" "$program" 2>"$SCRATCH/bpf" || ! tc qdisc add dev up0 clsact; then
		skip_reason=$(tail -n 1 "$SCRATCH/bpf")
		skip "${skip_reason:-no clsact}" "$mode: bpf_redirect_peer"
		reset_net
		continue
	fi
	must tc filter add dev up0 ingress protocol ip flower dst_ip 10.0.1.2 action pass
	must tc filter del dev up0 ingress
	must tc filter add dev up0 ingress protocol ip bpf direct-action object-pinned "$program"

	sent_before=$(counter - p1 tx packets)
	received_before=$(counter blue c0 rx packets)
	bytes_before=$(counter blue c0 rx bytes)
	send_udp far 10.0.1.2 300 100
	eventually 5 "$mode: the child counts every redirected packet" at_least $((received_before + 300)) counter blue c0 rx packets
	# Neighbours talk now and then, by the port.
	between "$(counter - p1 tx packets)" "$sent_before" $((sent_before + 3)) "$mode: none of them took the port's way"
	between "$(counter blue c0 rx packets)" $((received_before + 300)) $((received_before + 303)) "$mode: and none twice"
	between $(($(counter blue c0 rx bytes) - bytes_before)) $((300 * 128)) $((303 * 142)) "$mode: and its bytes"
	ping_ok "$mode: ping from afar is answered" far 10.0.1.2
	is "$(in_ns far ping -n -c 1 -W "$PATIENCE" 10.0.1.2 | sed -n 's/.*ttl=\([0-9]*\).*/\1/p')" 63 "$mode: the way back is the full one"
	probe "$mode: from afar: " far tcp:10.0.1.2 udp:10.0.1.2
	capture blue c0 "$SCRATCH/tap.pcap" icmp
	must answers far 10.0.1.2
	capture_end
	is "$(captured "$SCRATCH/tap.pcap" | wc -l)" 2 "$mode: the child's tap sees question and answer"
	must in_ns blue nft 'table inet t { chain in { type filter hook prerouting priority 0; udp dport 9 counter name n drop; }; counter n {}; }'
	send_udp far 10.0.1.2 20 100
	eventually 5 "$mode: the child's own rules see each" matched 20

	by_ipv6
	[ "$KIND" = veth ] || from_within

	ip -n blue link set c0 down
	send_udp far 10.0.1.2 20 100
	fails "$mode: nothing reaches a child that is down" pings far 10.0.1.2
	ip link del p1
	send_udp far 10.0.1.2 20 100
	ping_ok "$mode: a program that outlives its pair does no harm" - 127.0.0.1
	tc qdisc del dev up0 clsact
	rm -f "$program"
	reset_net
done

done_testing
