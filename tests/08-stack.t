#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the stack builds on a device, in both modes: VRFs, tunnels, encryption,
# queueing, traffic control, netdev hooks, taps.

. "$(dirname "$0")/lib.sh"
load_module

# over NAME KIND PORT-ARGS -- CHILD-ARGS: one tunnel device on each side, named
# tun0, pinged through, and removed.
over() {
	local name=$1 module=$2 here=() there
	shift 2
	while [ "$1" != -- ]; do
		here+=("$1")
		shift
	done
	shift
	there=("$@")
	if ! can_load "$module"; then
		skip "no $module" "$mode: $name"
		return
	fi
	must ip link add tun0 "${here[@]}"
	must ip -n blue link add tun0 "${there[@]}"
	address - tun0 10.77.0.1/24 fd77::1/64
	address blue tun0 10.77.0.2/24 fd77::2/64
	ping_ok "$mode: $name carries IPv4" - 10.77.0.2 -s 1300
	if [ "$module" != ipip ]; then
		ping_ok "$mode: $name carries IPv6" blue fd77::1 -s 1300
	fi
	ip link del tun0
	ip -n blue link del tun0
}

tunnels() {
	over "GRE" ip_gre type gre local 10.0.1.1 remote 10.0.1.2 -- type gre local 10.0.1.2 remote 10.0.1.1
	over "GRE over IPv6" ip6_gre type ip6gre local fd00:1::1 remote fd00:1::2 -- type ip6gre local fd00:1::2 remote fd00:1::1
	over "IPIP" ipip type ipip local 10.0.1.1 remote 10.0.1.2 mode any -- type ipip local 10.0.1.2 remote 10.0.1.1 mode any
	over "VXLAN" vxlan type vxlan id 7 local 10.0.1.1 remote 10.0.1.2 dstport 4789 dev p1 -- \
		type vxlan id 7 local 10.0.1.2 remote 10.0.1.1 dstport 4789 dev c0
	over "VXLAN over IPv6" vxlan type vxlan id 8 local fd00:1::1 remote fd00:1::2 dstport 4789 dev p1 -- \
		type vxlan id 8 local fd00:1::2 remote fd00:1::1 dstport 4789 dev c0
}

wireguard() {
	local here there
	if ! can_load wireguard; then
		skip "no wireguard" "$mode: WireGuard"
		return
	fi
	here=$(wg genkey | tee "$SCRATCH/here")
	there=$(wg genkey | tee "$SCRATCH/there")
	must ip link add wg0 type wireguard
	must ip -n blue link add wg0 type wireguard
	wg set wg0 listen-port 5555 private-key "$SCRATCH/here" \
		peer "$(wg pubkey <<<"$there")" endpoint 10.0.1.2:5555 allowed-ips 10.78.0.2/32,fd78::2/128
	in_ns blue wg set wg0 listen-port 5555 private-key "$SCRATCH/there" \
		peer "$(wg pubkey <<<"$here")" endpoint 10.0.1.1:5555 allowed-ips 10.78.0.1/32,fd78::1/128
	address - wg0 10.78.0.1/24 fd78::1/64
	address blue wg0 10.78.0.2/24 fd78::2/64
	ping_ok "$mode: WireGuard carries IPv4" - 10.78.0.2 -s 1300
	ping_ok "$mode: WireGuard carries IPv6" blue fd78::1 -s 1300
	probe "$mode: WireGuard: " - --size 60000 tcp:10.78.0.2
	ip link del wg0
	ip -n blue link del wg0
}

# associations MODE HERE THERE: ESP between the addresses of the two ends, which both
# ends know, by if_id 42 where MODE is a tunnel.
associations() {
	local mode=$1 ns from=$2 to=$3 extra=() key=0x0123456789abcdef0123456789abcdef01234567
	[ "$mode" != tunnel ] || extra=(if_id 42 flag af-unspec)
	for ns in - blue; do
		ip_ns "$ns" xfrm state add src "$from" dst "$to" proto esp spi 0x101 mode "$mode" "${extra[@]}" aead 'rfc4106(gcm(aes))' $key 128 &&
			ip_ns "$ns" xfrm state add src "$to" dst "$from" proto esp spi 0x102 mode "$mode" "${extra[@]}" aead 'rfc4106(gcm(aes))' $key 128 || return
	done 2>/dev/null
}

no_associations() {
	local ns
	for ns in - blue; do
		ip_ns "$ns" xfrm state flush
		ip_ns "$ns" xfrm policy flush
	done
}

# only_esp NAME FILE: what a capture of the pair has, where a ping has been answered.
only_esp() {
	between "$(captured "$2" 'esp or ip6 proto 50' | wc -l)" 2 100000 "$1: ESP is what crosses"
	is "$(captured "$2" "$CLEAR" | wc -l)" 0 "$1: and nothing in clear"
}
# Neighbours, whom no policy here is about, talk in clear.
CLEAR='icmp or tcp or udp or (icmp6 and (ip6[40] = 128 or ip6[40] = 129))'

# no_connections: returns when TCP has nothing more to say, which it would say in clear
# once policies are gone, where the next capture sees it.
no_connections() {
	local ns
	for ns in - blue; do must wait_until "$PATIENCE" no_connection "$ns"; done
}

# ESP in transport mode between the two ends.
esp() { # MODULE HERE THERE
	local module=$1 here=$2 there=$3 name="$mode: ESP${1/esp4/}" ns from to
	name=${name/esp6/ over IPv6}
	if ! can_load "$module" || ! associations transport "$here" "$there"; then
		skip "no ESP" "$name"
		no_associations
		return
	fi
	for ns in - blue; do
		from=$here to=$there
		[ "$ns" = blue ] && from=$there to=$here
		must ip_ns "$ns" xfrm policy add dir out src "$from" dst "$to" tmpl src "$from" dst "$to" proto esp mode transport
		must ip_ns "$ns" xfrm policy add dir in src "$to" dst "$from" tmpl src "$to" dst "$from" proto esp mode transport
	done
	capture blue c0 "$SCRATCH/esp.pcap" esp or ip6 proto 50 or "$CLEAR"
	ping_ok "$name carries a ping" - "$there"
	probe "$name: " - --size 60000 "tcp:$there" "udp:$there"
	capture_end
	no_connections
	only_esp "$name" "$SCRATCH/esp.pcap"
	# The other end's policy takes nothing else.
	must ip xfrm policy flush
	fails "$name: what comes in clear is refused" pings - "$there"
	no_associations
}

# An xfrm device at each end of the pair, above it: what is routed there is in a tunnel.
xfrm_device() { # MODULE HERE THERE
	local module=$1 here=$2 there=$3 name="$mode: xfrm device over IPv4" ns from to family
	[ "$module" = esp4 ] || name="$mode: xfrm device over IPv6"
	if ! can_load xfrm_interface || ! can_load "$module" || ! associations tunnel "$here" "$there"; then
		skip "no xfrm device" "$name"
		no_associations
		return
	fi
	must ip link add x0 type xfrm dev p1 if_id 42
	must ip -n blue link add x0 type xfrm dev c0 if_id 42
	for ns in - blue; do
		from=$here to=$there
		[ "$ns" = blue ] && from=$there to=$here
		for family in -4 -6; do
			must ip_ns "$ns" $family xfrm policy add dir out if_id 42 tmpl src "$from" dst "$to" proto esp mode tunnel if_id 42
			must ip_ns "$ns" $family xfrm policy add dir in if_id 42 tmpl src "$to" dst "$from" proto esp mode tunnel if_id 42
		done
	done
	address - x0 10.79.0.1/24 fd79::1/64
	address blue x0 10.79.0.2/24 fd79::2/64
	capture blue c0 "$SCRATCH/esp.pcap" esp or ip6 proto 50 or "$CLEAR"
	ping_ok "$name carries IPv4" - 10.79.0.2 -s 1300
	ping_ok "$name carries IPv6" blue fd79::1 -s 1300
	probe "$name: " - --size 60000 tcp:10.79.0.2 tcp:fd79::2
	capture_end
	no_connections
	only_esp "$name" "$SCRATCH/esp.pcap"
	between "$(counter blue x0 rx packets)" 4 1000000 "$name counts"
	ping_ok "$name: what is not routed there crosses in clear" - "$there"
	ip link del x0
	ip -n blue link del x0
	no_associations
}

# The port in a VRF of the parent, the child's device in one of the child.
vrfs() {
	if ! can_load vrf; then
		skip "no vrf" "$mode: VRF"
		return
	fi
	must ip link add vrf1 type vrf table 1001
	must ip link set vrf1 up
	must ip link set p1 master vrf1
	must ip addr replace fd00:1::1/64 dev p1 nodad
	unlike "$(ip route)" "dev p1" "$mode: VRF: the main table has no route to the child"
	like "$(ip route show vrf vrf1)" "dev p1" "$mode: VRF: the VRF has"
	ping_ok "$mode: VRF: ping from the VRF" - 10.0.1.2 -I vrf1
	ping_ok "$mode: VRF: ping from the VRF, IPv6" - fd00:1::2 -I vrf1
	ping_ok "$mode: VRF: the child pings into the VRF" blue 10.0.1.1
	must ip -n blue link add vrf2 type vrf table 1002
	must ip -n blue link set vrf2 up
	must ip -n blue link set c0 master vrf2
	ping_ok "$mode: VRF: on both sides" - 10.0.1.2 -I vrf1
	ip link del vrf1
	ip -n blue link del vrf2
}

qdiscs() {
	local before
	if tc qdisc add dev p1 root netem delay 100ms 2>/dev/null; then
		between "$(ping -n -c 1 -W "$PATIENCE" 10.0.1.2 | sed -n 's/.*time=\([0-9]*\).*/\1/p')" 100 20000 "$mode: netem delays"
		must tc qdisc replace dev p1 root netem loss 100%
		fails "$mode: netem loses" pings - 10.0.1.2
		like "$(tc -s qdisc show dev p1)" "dropped [1-9]" "$mode: and counts it"
		tc qdisc del dev p1 root
	else
		skip "no netem" "$mode: netem"
	fi
	if in_ns blue tc qdisc add dev c0 root tbf rate 8mbit burst 10k latency 1s 2>/dev/null; then
		iperf_server -
		before=${EPOCHREALTIME/./}
		succeeds "$mode: bulk TCP through tbf" iperf blue -c 10.0.1.1 -n 1M
		between $((${EPOCHREALTIME/./} - before)) 600000 60000000 "$mode: tbf holds it to its rate"
		in_ns blue tc qdisc del dev c0 root
	else
		skip "no tbf" "$mode: tbf"
	fi
	if tc qdisc add dev p1 root handle 1: mq 2>/dev/null && tc qdisc add dev p1 parent 1:1 netem loss 100% 2>/dev/null; then
		fails "$mode: netem of a queue loses" pings - 10.0.1.2
		like "$(tc -s qdisc show dev p1)" "netem.*dropped [1-9]" "$mode: and counts it"
	else
		skip "no mq or netem" "$mode: netem of a queue"
	fi
	tc qdisc del dev p1 root 2>/dev/null
	ping_ok "$mode: all is as before without a qdisc" - 10.0.1.2
}

# clsact sees what crosses, at the end it is attached to, in both directions.
traffic_control() {
	if ! tc qdisc add dev p1 clsact 2>/dev/null || ! can_load cls_matchall; then
		skip "no clsact" "$mode: clsact"
		return
	fi
	in_ns blue tc qdisc add dev c0 clsact
	must tc filter add dev p1 egress protocol ip matchall action drop
	fails "$mode: clsact drops on the port's egress" pings - 10.0.1.2
	like "$(tc -s filter show dev p1 egress)" "[1-9][0-9]* pkt" "$mode: clsact counts it"
	must tc filter del dev p1 egress
	must in_ns blue tc filter add dev c0 ingress protocol ip matchall action drop
	fails "$mode: clsact drops on the child's ingress" pings - 10.0.1.2
	must in_ns blue tc filter del dev c0 ingress
	must tc filter add dev p1 ingress protocol ipv6 matchall action drop
	fails "$mode: clsact drops on the port's ingress" pings blue fd00:1::1
	ping_ok "$mode: and nothing else" blue 10.0.1.1
	must tc qdisc del dev p1 clsact
	must in_ns blue tc qdisc del dev c0 clsact
	ping_ok "$mode: all is as before without a filter" blue fd00:1::1
}

netdev_hooks() {
	local ns dev
	if ! can_load nf_tables || ! nft 'table netdev t { chain c { type filter hook ingress device lo priority 0; }; }' 2>/dev/null; then
		skip "no nft netdev hooks" "$mode: nft netdev hooks"
		return
	fi
	nft flush ruleset
	for ns in - blue; do
		dev=p1
		[ "$ns" = blue ] && dev=c0
		must in_ns "$ns" nft "table netdev t { chain in { type filter hook ingress device $dev priority 0; icmp type echo-request drop; }; }"
		fails "$mode: nft drops on the ingress of $dev" pings "$([ "$ns" = - ] && echo blue || echo -)" "$([ "$ns" = - ] && echo 10.0.1.1 || echo 10.0.1.2)"
		in_ns "$ns" nft flush ruleset
		if in_ns "$ns" nft "table netdev t { chain out { type filter hook egress device $dev priority 0; icmp type echo-request drop; }; }" 2>/dev/null; then
			fails "$mode: nft drops on the egress of $dev" pings "$ns" "$([ "$ns" = - ] && echo 10.0.1.2 || echo 10.0.1.1)"
			in_ns "$ns" nft flush ruleset
		else
			skip "no nft egress hook" "$mode: nft drops on the egress of $dev"
		fi
	done
	ping_ok "$mode: all is as before without a rule" - 10.0.1.2
}

taps() {
	local ns dev
	for ns in - blue; do
		dev=p1
		[ "$ns" = blue ] && dev=c0
		capture "$ns" "$dev" "$SCRATCH/tap.pcap" icmp or icmp6
		must answers - 10.0.1.2
		must answers - fd00:1::2
		capture_end
		is "$(captured "$SCRATCH/tap.pcap" icmp | wc -l)" 2 "$mode: a tap on $dev sees the question and the answer (IPv4)"
		is "$(captured "$SCRATCH/tap.pcap" 'icmp6 and (ip6[40] = 128 or ip6[40] = 129)' | wc -l)" 2 \
			"$mode: a tap on $dev sees the question and the answer (IPv6)"
	done
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	echo_server blue
	tunnels
	wireguard
	esp esp4 10.0.1.1 10.0.1.2
	esp esp6 fd00:1::1 fd00:1::2
	xfrm_device esp4 10.0.1.1 10.0.1.2
	xfrm_device esp6 fd00:1::1 fd00:1::2
	qdiscs
	traffic_control
	netdev_hooks
	taps
	vrfs
	reset_net
done

done_testing
