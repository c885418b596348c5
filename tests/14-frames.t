#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --cpus 1
#
# Garbage on the wire: runts, broken IP, frames of no protocol, random bytes,
# from either end in either mode. tools/frame_drops.py has what each comes to: which
# counter counts it, where, and the reason that the kernel gives.

. "$(dirname "$0")/lib.sh"
load_module

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	discard_server -
	discard_server blue
	can_trace_drops
	# Only our own frames: no reports, no solicitations.
	for ns in - blue; do
		must in_ns "$ns" nft 'table inet quiet { chain out { type filter hook output priority 0
			ip6 nexthdr hopopt drop; ip protocol igmp drop; icmpv6 type nd-router-solicit drop; }; }'
	done
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
		from_tool "$to: " timeout 600 python3 -S "$TOOLS/frame_drops.py" "$mode" "$ns" "$dev" "${other[@]}" "$mac" "$last"

		from_tool "$to: " in_ns "$ns" timeout 600 python3 -S "$TOOLS/frame.py" fuzz "$dev" --to "$mac" --seed 7 --count "$(scale 3000 600)"
		eventually 5 "$to: the pair works as before" pings - 10.0.1.2
		ping_ok "$to: and in IPv6" blue fd00:1::1
	done
	reset_net
done

done_testing
