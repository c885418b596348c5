#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --timeout 300
#
# Garbage on the wire: runts, broken IP, frames of no protocol, random bytes,
# from either end in either mode. It is dropped, the drop is counted where it
# happens, and the kernel can say why.

. "$(dirname "$0")/lib.sh"
load_module

# Whatever counts a packet that nobody took: both devices, and IP on both sides.
refused() {
	local ns dev key sum=0 value
	for ns in - blue; do
		dev=p1
		[ "$ns" = blue ] && dev=c0
		for key in rx_dropped tx_dropped rx_errors tx_errors rx_nohandler; do
			value=$(in_ns "$ns" cat "/sys/class/net/$dev/statistics/$key")
			sum=$((sum + value))
		done
		value=$(in_ns "$ns" nstat -asz | awk '/InHdrErrors|InTruncatedPkts|InAddrErrors|InDiscards|InUnknownProtos|InCsumErrors|UdpInErrors|Udp6InErrors/ { n += $2 } END { print n + 0 }')
		sum=$((sum + value))
	done
	echo "$sum"
}

inject() { # NS DEV MAC NAME...
	local ns=$1 dev=$2 mac=$3
	shift 3
	in_ns "$ns" python3 -S "$TOOLS/frame.py" send "$dev" --to "$mac" --count 3 "$@" >"$SCRATCH/sent"
}

# dropped NAME NS DEV MAC FRAME: three of these are sent; all are dropped, with a
# reason, and counted.
dropped() {
	local name=$1 ns=$2 dev=$3 mac=$4 frame=$5 before after reasons
	before=$(refused)
	if can_trace_drops; then
		count_drops inject "$ns" "$dev" "$mac" "$frame"
		# Multicast reports of the kernel's own may get in between; ours are unicast.
		sed -i '/location=ip6_mc_input/d' "$SCRATCH/drops"
		reasons=$(sed 's/.*reason: *//' "$SCRATCH/drops" | sort -u | xargs)
		between "$(grep -cv 'NOT_SPECIFIED' "$SCRATCH/drops")" 3 100 "$name: $frame: dropped with a reason ($reasons)"
		is "$(grep 'NOT_SPECIFIED' "$SCRATCH/drops")" "" "$name: $frame: none without"
	else
		inject "$ns" "$dev" "$mac" "$frame"
		skip "no drop tracing" "$name: $frame: dropped with a reason"
	fi
	like "$(cat "$SCRATCH/sent")" "^ok $frame: " "$name: $frame: it was sent"
	after=$(refused)
	between $((after - before)) 3 6 "$name: $frame: counted"
}

# Frames that no stack takes. An l2 pair carries any Ethernet frame, so there
# it is the receiver's stack that drops it, in l3 the device.
frames=(ipv4-truncated ipv4-version-5 ipv4-says-version-6 ipv4-short-ihl ipv4-long-ihl
	ipv4-total-too-long ipv4-total-too-short ipv4-wrong-checksum ipv4-total-zero
	ipv6-truncated ipv6-version-4 ipv6-length-too-long ipv6-from-multicast
	experiment ethertype-zero length-field)

# Only our own frames: no discovery, no reports.
for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	discard_server -
	discard_server blue
	for ns in - blue; do
		# The neighbours know each other, so that nobody asks.
		dev=p1 mac=$(link_value blue c0 address) last=2
		[ "$ns" = blue ] && dev=c0 mac=$(link_value - p1 address) last=1
		if [ "$mode" = l2 ]; then
			ip_ns "$ns" neigh replace "10.0.1.$last" lladdr "$mac" dev "$dev"
			ip_ns "$ns" neigh replace "fd00:1::$last" lladdr "$mac" dev "$dev"
		fi
		[ "$(link_value - p1 link_type)" = ether ] || mac=ff:ff:ff:ff:ff:ff
		to="$mode: into $dev"
		other=(blue c0)
		[ "$ns" = blue ] && other=(- p1)

		# A good frame of the same make arrives: the others are dropped for what
		# is wrong with them.
		before=$(counter "${other[@]}" rx packets)
		drops=$(refused)
		inject "$ns" "$dev" "$mac" --source "10.0.1.$((3 - last))" --dest "10.0.1.$last" ipv4
		eventually 5 "$to: a good frame arrives" at_least $((before + 3)) counter "${other[@]}" rx packets
		is "$(refused)" "$drops" "$to: a good frame is not dropped"

		for frame in "${frames[@]}"; do dropped "$to" "$ns" "$dev" "$mac" "$frame"; done

		# Runts: refused by the socket or dropped, never taken for a packet.
		from_tool "$to: " in_ns "$ns" python3 -S "$TOOLS/frame.py" send "$dev" --to "$mac" runt{0..13} ipv4-empty ipv4-one-byte ipv6-empty
		from_tool "$to: " in_ns "$ns" python3 -S "$TOOLS/frame.py" send "$dev" --to "$mac" arp-truncated vlan-truncated vlan-unknown
		from_tool "$to: " in_ns "$ns" timeout 100 python3 -S "$TOOLS/frame.py" fuzz "$dev" --to "$mac" --seed 7 --count "$(scale 3000 600)"
		eventually 5 "$to: the pair works as before" pings - 10.0.1.2
		ping_ok "$to: and in IPv6" blue fd00:1::1
	done
	reset_net
done

done_testing
