#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What others make packets take, between devices with a link header and without:
# tc's mirred to and from a device of each mode, nft's "fwd to", and flowtables. What
# arrives is looked at, and what cannot be read there is dropped and does no harm.

. "$(dirname "$0")/lib.sh"
load_module

# The parent forwards nothing here, so all that arrives has been redirected. blue sends
# on c0 to addresses that are far's and red's.
world() { # MODE
	child "$1" blue 1
	child "$1" red 2
	netns_add far
	# One that does not begin as an IP header does, as one in sixteen would.
	ip link add up0 address 02:00:00:00:09:01 type veth peer name up1 netns far
	quiet - up0
	quiet far up1
	address - up0 10.0.9.1/24
	address far up1 10.0.9.2/24
	must ip -n far route add default via 10.0.9.1
	discard_server -
	for ns in blue red far; do
		discard_server "$ns"
		must in_ns "$ns" sysctl -qw net.ipv4.conf.all.rp_filter=0
		must in_ns "$ns" nft 'table inet t { chain p { type filter hook input priority 0; udp dport 9 ip ttl 64 counter name n; }; counter n {}; }'
	done
	# Their addresses are found before anything is redirected.
	must answers - 10.0.1.2
	must answers - 10.0.2.2
	must answers - 10.0.9.2
	up1=$(link_value far up1 address) up0=$(link_value - up0 address)
	p1=$(link_value - p1 address) blue=$(link_value blue c0 address)
}

# met NS: the packets so far that a host took as they were sent, in hops, too.
# shellcheck disable=SC2317 # called by name
met() {
	in_ns "$1" nft list counter inet t n | sed -n 's/.*packets \([0-9]*\) .*/\1/p'
}

# meets NAME FROM ADDR NS [DEV]: 20 packets are met there, and counted by its device once
# each, and by p1.
meets() {
	local name=$1 from=$2 addr=$3 ns=$4 dev=${5:-c0} before counted port
	before=$(met "$ns")
	counted=$(counter "$ns" "$dev" rx packets)
	port=$(($(counter - p1 rx packets) + $(counter - p1 tx packets)))
	send_udp "$from" "$addr" 20 100
	eventually 5 "$mode: $name: each arrives, once" equals $((before + 20)) met "$ns"
	between $(($(counter "$ns" "$dev" rx packets) - counted)) 20 26 "$mode: $name: each is counted where it arrives"
	between $(($(counter - p1 rx packets) + $(counter - p1 tx packets) - port)) 20 46 "$mode: $name: and by the port"
}

# lost NAME FROM ADDR NS CMD...: 20 packets are of no use there, and what CMD counts.
lost() {
	local name=$1 from=$2 addr=$3 ns=$4 before counted
	shift 4
	before=$(met "$ns")
	counted=$("$@")
	send_udp "$from" "$addr" 20 100
	eventually 5 "$mode: $name: each is counted" at_least $((counted + 20)) "$@"
	is "$(met "$ns")" "$before" "$mode: $name: nobody takes them for packets"
}

# not_ip: what the port has refused to send for that.
# shellcheck disable=SC2317 # called by name
not_ip() {
	ethtool -S p1 | awk '$1 ~ /^tx_drop_(not_ip|bad_header):/ { sum += $2 } END { print sum }'
}

filter() { # DEV ingress|egress ACTION...: what UDP meets there
	local dev=$1 hook=$2
	shift 2
	tc qdisc replace dev "$dev" clsact && tc filter add dev "$dev" "$hook" protocol ip flower ip_proto udp "$@"
}

no_filter() { # DEV
	must tc qdisc del dev "$1" clsact
}

# header SRC DST: how mode l3 makes frames, which l2 has.
header() {
	if [ "$mode" = l3 ]; then
		echo "action vlan push_eth dst_mac $2 src_mac $1 pipe"
	else
		echo "action pedit ex munge eth dst set $2 munge eth src set $1 pipe"
	fi
}

mirred() {
	local out=(action mirred egress redirect dev)
	if ! filter p1 ingress action mirred egress redirect dev up0 2>"$SCRATCH/tc"; then
		skip "no mirred" "$mode: mirred"
		return
	fi
	no_filter p1

	# From the port to the outside: as frames there.
	# shellcheck disable=SC2046 # words
	must filter p1 ingress $(header "$up0" "$up1") "${out[@]}" up0
	meets "from the port to a veth" blue 10.0.9.2 far up1
	no_filter p1
	if [ "$mode" = l3 ]; then
		must filter p1 ingress "${out[@]}" up0
		lost "from the port to a veth, without a link header" blue 10.0.9.2 far counter far up1 rx packets
		no_filter p1
	fi

	# And back: the kernel takes their header away where there is none.
	if [ "$mode" = l3 ]; then
		must filter up0 ingress "${out[@]}" p1
	else
		# shellcheck disable=SC2046 # words
		must filter up0 ingress $(header "$p1" "$blue") "${out[@]}" p1
	fi
	meets "from a veth to the port" far 10.0.1.2 blue
	no_filter up0

	# What the parent sends itself, out of a port, goes to another.
	if [ "$mode" = l3 ]; then
		must filter up0 egress "${out[@]}" p1
		must ip route add 10.0.1.2 via 10.0.9.2
		meets "from a veth's egress to the port" - 10.0.1.2 blue
		must ip route del 10.0.1.2
		no_filter up0
	fi
	must filter p1 ingress "${out[@]}" p2
	if [ "$mode" = l3 ]; then
		meets "from port to port" blue 10.0.2.2 red
	else
		lost "from port to port, for another station" blue 10.0.2.2 red counter red c0 rx packets
	fi
	no_filter p1

	# A mirror leaves the packets themselves alone.
	must filter p1 egress action mirred egress mirror dev p2
	before=$(counter red c0 rx packets)
	meets "mirrored to another port: what was sent" - 10.0.1.2 blue
	between $(($(counter red c0 rx packets) - before)) 20 26 "$mode: mirrored to another port: it gets a copy of each"
	no_filter p1

	# To where another device receives: as if it had come from there.
	must filter p1 ingress action mirred ingress redirect dev up0
	must nft 'table inet w { chain p { type filter hook prerouting priority 0; iifname up0 udp dport 9 counter name n; }; counter n {}; }'
	send_udp blue 10.0.1.1 20 100
	eventually 5 "$mode: to a veth's ingress: each is received there" from_up0 20
	must nft delete table inet w
	no_filter p1
	must filter up0 ingress action mirred ingress redirect dev p1
	must nft 'table inet w { chain p { type filter hook prerouting priority 0; iifname p1 udp dport 9 counter name n; }; counter n {}; }'
	send_udp far 10.0.9.1 20 100
	eventually 5 "$mode: from a veth to the port's ingress: each is received there" from_up0 20
	must nft delete table inet w
	no_filter up0
}

# shellcheck disable=SC2317 # called by name
from_up0() {
	nft list counter inet w n | grep -q "packets $1 "
}

# fwd DEV STATEMENT: what nft does with UDP that comes in by a device.
fwd() {
	nft "table netdev t { chain c { type filter hook ingress device $1 priority 0; udp dport 9 $2; }; }"
}

nft_fwd() {
	if ! fwd p1 'fwd to up0' 2>/dev/null; then
		skip "no nft fwd" "$mode: nft fwd"
		return
	fi
	must nft delete table netdev t
	if [ "$mode" = l3 ]; then
		must fwd p1 'fwd to p2'
		meets "nft fwd from port to port" blue 10.0.2.2 red
		must nft delete table netdev t
		must fwd p1 'fwd to up0'
		lost "nft fwd to a veth, without a link header" blue 10.0.9.2 far counter far up1 rx packets
		must nft delete table netdev t
		must fwd up0 'fwd to p1'
		lost "nft fwd to the port, with a link header" far 10.0.1.2 blue not_ip
		must nft delete table netdev t
	fi
	# By a neighbour's address nft makes the header itself, or none, and it is a hop.
	must fwd p1 'ip ttl set 65 fwd ip to 10.0.9.2 device up0'
	meets "nft fwd to a neighbour by a veth" blue 10.0.9.2 far up1
	must nft delete table netdev t
	must fwd up0 'ip ttl set 65 fwd ip to 10.0.1.2 device p1'
	meets "nft fwd to a neighbour by the port" far 10.0.1.2 blue
	must nft delete table netdev t
	# What has its header for a veth already leaves it behind.
	if nft 'table netdev t { chain c { type filter hook egress device up0 priority 0; udp dport 9 ip ttl set 65 fwd ip to 10.0.1.2 device p1; }; }' 2>/dev/null; then
		must ip route add 10.0.1.2 via 10.0.9.2
		meets "nft fwd to a neighbour by the port, from a veth's egress" - 10.0.1.2 blue
		must ip route del 10.0.1.2
		must nft delete table netdev t
	else
		skip "no nft egress hook" "$mode: nft fwd from a veth's egress"
	fi
}

# forwarded: what FORWARD has seen of TCP.
forwarded() {
	nft list counter inet f n | sed -n 's/.*packets \([0-9]*\) .*/\1/p'
}

# shellcheck disable=SC2317 # called by name
offloaded() {
	conntrack -L -p tcp 2>/dev/null | grep -q OFFLOAD
}

# What is established passes FORWARD by, in both directions.
flowtable() {
	local before count
	forwarding_on -
	if ! nft 'table inet f {
		flowtable t { hook ingress priority 0; devices = { p1, up0 }; counter; }
		chain c { type filter hook forward priority 0; meta l4proto tcp counter name n; ct state established meta l4proto tcp flow add @t; }
		counter n {}
	}' 2>"$SCRATCH/nft"; then
		skip "no flowtable" "$mode: flowtable"
		return
	fi
	sysctl -qw net.netfilter.nf_conntrack_acct=1
	echo_server blue
	probe "$mode: flowtable: " far --size 1000000 tcp:10.0.1.2
	iperf_server far
	background blue iperf3 -c 10.0.9.2 -t 600 -b 40M >/dev/null
	eventually 10 "$mode: flowtable: a connection is taken" offloaded
	for dir in rx tx; do
		before=$(forwarded)
		count=$(counter - p1 $dir packets)
		eventually 20 "$mode: flowtable: traffic passes, $dir" at_least $((count + 300)) counter - p1 $dir packets
		between $(($(forwarded) - before)) 0 30 "$mode: flowtable: not by FORWARD, $dir"
	done
	end_background
	nft flush ruleset
	sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	world "$mode"
	mirred
	nft_fwd
	flowtable
	reset_net
done

done_testing
