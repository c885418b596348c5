#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checksums and large sends: bulk TCP is whole with every mixture of offloads;
# what must leave with a complete checksum does; sizes of BIG TCP pass; who asks
# for GRO receives segments together.

. "$(dirname "$0")/lib.sh"
load_module
bulk=$(scale 8M 1M)

# moves NAME ADDR: bulk TCP from the child to the parent's side and back
moves() {
	succeeds "$1: bulk from the child" iperf blue -c "$2" -n "$bulk"
	succeeds "$1: bulk to the child" iperf blue -c "$2" -n "$bulk" -R
}

largest() { # FILE [FILTER...]: the length of the longest packet in a capture
	captured "$@" -w - | python3 -S "$TOOLS/longest.py"
}

offload() { # NS DEV SETTING...
	must in_ns "$1" ethtool -K "${@:2}"
}

# toggle NS DEV FEATURE TIMES: on and off again while others work
toggle() {
	local time
	for ((time = 0; time < $4; time++)); do
		in_ns "$1" ethtool -K "$2" "$3" on && in_ns "$1" ethtool -K "$2" "$3" off || return
	done
}

csum_errors() { # NS: what TCP, UDP and ICMP found wrong
	in_ns "$1" nstat -asz | awk '/CsumErrors/ { n += $2 } END { print n + 0 }'
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	iperf_server -
	echo_server -

	features=$(in_ns blue ethtool -k c0)
	for feature in tx-checksumming scatter-gather tcp-segmentation-offload generic-segmentation-offload; do
		like "$features" "$feature: on" "$mode: $feature is on from the start"
	done
	like "$features" "generic-receive-offload: off" "$mode: GRO is off from the start"

	# Large sends on: packets above the MTU cross in one piece.
	SNAPLEN=128 capture blue c0 "$SCRATCH/tso.pcap" tcp port 5201
	moves "$mode: offloads on, IPv4" 10.0.1.1
	capture_end
	# How large they are is a matter of the machine's pace.
	between "$(largest "$SCRATCH/tso.pcap")" 1600 65600 "$mode: offloads on: large sends cross whole"

	# Large sends off: none above the MTU.
	for dev in "blue c0" "- p1"; do
		# shellcheck disable=SC2086 # namespace and device
		offload $dev tso off gso off gro off
	done
	SNAPLEN=128 capture blue c0 "$SCRATCH/segments.pcap" tcp port 5201
	moves "$mode: segmentation off, IPv6" fd00:1::1
	capture_end
	between "$(largest "$SCRATCH/segments.pcap")" 1000 1514 "$mode: segmentation off: nothing above the MTU"

	# Checksums off: the stack computes them, and each one on the wire is right.
	offload blue c0 tx off
	offload - p1 tx off
	capture - p1 "$SCRATCH/sums.pcap"
	moves "$mode: checksum offload off, IPv4" 10.0.1.1
	probe "$mode: checksum offload off: " blue udp:10.0.1.1 udp:fd00:1::1 tcp:fd00:1::1
	capture_end
	unlike "$(captured "$SCRATCH/sums.pcap" -vv | grep -E 'incorrect|bad .*cksum' | head -n 3)" . \
		"$mode: checksum offload off: no wrong checksum in the capture"
	like "$(captured "$SCRATCH/sums.pcap" -vv | grep -c 'correct)')" '^[1-9]' "$mode: checksum offload off: the capture has checksums to judge"
	offload blue c0 tx on tso on gso on gro on
	offload - p1 tx on tso on gso on gro on

	# BIG TCP: more than 64 KiB in one packet.
	if ip link set p1 gso_ipv4_max_size 185000 2>/dev/null; then
		for dev in "- p1" "blue c0"; do
			# shellcheck disable=SC2086
			must ip_ns ${dev% *} link set ${dev#* } gso_max_size 185000 gro_max_size 185000 \
				gso_ipv4_max_size 185000 gro_ipv4_max_size 185000
		done
		is "$(link_value blue c0 gso_max_size) $(link_value blue c0 gso_ipv4_max_size)" "185000 185000" "$mode: BIG TCP: the sizes are taken"
		# By itself TCP makes packets as long as what it sends in a millisecond, and
		# longer ones only where an answer takes little more than that, which on a slow
		# machine it never does. With this it may take a second.
		must in_ns blue sysctl -qw net.ipv4.tcp_tso_rtt_log=20
		for addr in 10.0.1.1 fd00:1::1; do
			# TCP makes them once its window has grown, on a busy machine later than the end.
			for _ in 1 2 3 4; do
				SNAPLEN=128 capture - p1 "$SCRATCH/big.pcap" tcp port 5201
				iperf blue -c "$addr" -n "$(scale 60M 20M)" -l 1M -w 4M >"$SCRATCH/big" 2>&1
				status=$?
				capture_end
				longest=$(largest "$SCRATCH/big.pcap")
				if [ "$status" != 0 ] || [ "${longest:-0}" -ge 65600 ]; then break; fi
			done
			is "$status" 0 "$mode: BIG TCP, $addr" || diag "$(cat "$SCRATCH/big")"
			between "$longest" 65600 185000 "$mode: BIG TCP, $addr: a packet of more than 64 KiB crossed"
		done
	else
		skip "this ip or kernel has no BIG TCP for IPv4" "$mode: BIG TCP"
	fi
	is "$(csum_errors -) $(csum_errors blue)" "0 0" "$mode: nobody met a wrong checksum"

	# Onto a wire that completes no checksum and cuts no segments.
	netns_add far
	ip link add up0 type veth peer name up1 netns far
	address - up0 10.0.9.1/24 fd00:9::1/64
	address far up1 10.0.9.2/24 fd00:9::2/64
	ip -n far route add default via 10.0.9.1
	ip -n far -6 route add default via fd00:9::1
	offload - up0 tx off tso off gso off
	forwarding_on -
	iperf_server far
	echo_server far
	capture far up1 "$SCRATCH/wire.pcap" 'tcp or udp or icmp or icmp6'
	moves "$mode: through a plain uplink, IPv4" 10.0.9.2
	probe "$mode: through a plain uplink: " blue --size 8000 tcp:10.0.9.2 tcp:fd00:9::2 udp:10.0.9.2 udp:fd00:9::2
	capture_end
	unlike "$(captured "$SCRATCH/wire.pcap" -vv src net 10.0.1.0/24 or src net fd00:1::/64 | grep -E 'incorrect|bad .*cksum' | head -n 3)" . \
		"$mode: through a plain uplink: no wrong checksum in the capture"
	between "$(largest "$SCRATCH/wire.pcap" src net 10.0.1.0/24 or src net fd00:1::/64)" 1000 1514 "$mode: through a plain uplink: nothing above the MTU"
	is "$(csum_errors far)" 0 "$mode: through a plain uplink: the far end met no wrong checksum"

	# Segments that come from a wire one by one.
	offload far up1 tso off gso off
	iperf_server blue
	# shellcheck disable=SC2046 # words are wanted
	for addr in $(scale "10.0.1.2 fd00:1::2" 10.0.1.2); do
		for gro in off on; do
			offload blue c0 gro $gro
			SNAPLEN=128 capture blue c0 "$SCRATCH/gro.pcap" tcp port 5201
			succeeds "$mode: GRO $gro, $addr: bulk to the child" iperf far -c "$addr" -n "$bulk"
			capture_end
			if [ $gro = on ]; then limits="1600 65600"; else limits="1000 1514"; fi
			# shellcheck disable=SC2086 # two words are wanted
			between "$(largest "$SCRATCH/gro.pcap")" $limits "$mode: GRO $gro, $addr: the longest packet"
		done
	done
	toggle blue c0 gro 20 &
	toggling=$!
	succeeds "$mode: GRO on and off: bulk to the child meanwhile" iperf far -c 10.0.1.2 -n "$bulk"
	wait "$toggling"
	result $? "$mode: GRO was turned on and off 20 times"
	is "$(csum_errors blue)" 0 "$mode: GRO: nobody met a wrong checksum"
	# The pair is removed while it is on.
	offload blue c0 gro on
	offload - p1 gro on
	probe "$mode: GRO at both ends: " blue tcp:10.0.9.2 udp:fd00:9::2
	reset_net
done

done_testing
