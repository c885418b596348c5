#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checksums and large sends: bulk TCP is whole with every mixture of offloads, in
# tunnels, too; what must leave with a complete checksum does; sizes of BIG TCP pass; who asks
# for GRO receives segments together.

. "$(dirname "$0")/lib.sh"
load_module
bulk=$(scale 8M 1M)
# For whole frames: room enough that none of so much is lost, as capture_end waits for those.
frames=(-s 2000 -B 16384)

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
	in_ns "$1" nstat -asz | awk '/CsumErrors/ { n += $2; seen = 1 } END { print seen ? n : "no counter" }'
}

# wrong_sums FILE [FILTER...]: the first packets in a capture whose checksum is wrong
wrong_sums() {
	captured "$@" -vv | grep -E 'incorrect|bad .*cksum' | head -n 3
}

# sctp NAME NS ADDR...: messages to the namespace of an SCTP server, one longer than any
# packet, and what its SCTP found wrong: its sum is another one than the others'.
sctp() {
	local name=$1 ns=$2
	shift 2
	if ! can_load sctp; then
		skip "no SCTP" "$name"
		return
	fi
	background "$ns" python3 -S "$TOOLS/echo.py" sctp:7778
	wait_until 10 in_ns "$ns" grep -q 7778 /proc/net/sctp/eps
	from_tool "$name: " in_ns blue python3 -S "$TOOLS/probe.py" --port 7778 --wait "$PATIENCE" --size 100 "${@/#/sctp:}"
	from_tool "$name: long messages: " in_ns blue python3 -S "$TOOLS/probe.py" --port 7778 --wait "$PATIENCE" --size 40000 "${@/#/sctp:}"
	for end in "$ns" blue; do
		# shellcheck disable=SC2016 # awk expands
		is "$(in_ns "$end" awk '$1 == "SctpChecksumErrors" { print $2 }' /proc/net/sctp/snmp)" 0 "$name: no wrong checksum in ${end/#-/the parent}"
	done
	kill "$JOB"
}

# tunnel NAME MODULE WORDS: bulk TCP through a tunnel between the two ends. OURS and
# THEIRS in WORDS are the outer addresses, DEV is the device.
tunnel() {
	local name="$mode: $1" words=$3 ours=10.0.1.1 theirs=10.0.1.2 inner
	if ! can_load "$2"; then
		skip "no $2" "$name"
		return
	fi
	case $1 in *IPv6) ours=fd00:1::1 theirs=fd00:1::2 ;; esac
	# shellcheck disable=SC2046 # words
	must ip link add tun0 type $(sed "s/OURS/$ours/; s/THEIRS/$theirs/; s/DEV/p1/" <<<"$words")
	# shellcheck disable=SC2046
	must ip -n blue link add tun0 type $(sed "s/OURS/$theirs/; s/THEIRS/$ours/; s/DEV/c0/" <<<"$words")
	# sit is for IPv6 alone.
	if [ "$2" = sit ]; then set -- "$@" fd77::1/64 fd77::2/64; else set -- "$@" 10.77.0.1/24 10.77.0.2/24; fi
	address - tun0 "$4"
	address blue tun0 "$5"
	inner=${4%/*}

	# What a tap shows is not to be what GRO has made of it.
	for end in "blue c0" "- p1"; do
		# shellcheck disable=SC2086 # namespace and device
		offload $end gro off
	done
	# Nothing takes the packets apart that stand for many.
	SNAPLEN=128 capture blue c0 "$SCRATCH/tunnel.pcap"
	moves "$name: offloads on" "$inner"
	capture_end
	between "$(largest "$SCRATCH/tunnel.pcap")" 1600 65700 "$name: offloads on: large sends cross whole"

	for end in "blue c0" "- p1"; do
		# shellcheck disable=SC2086
		offload $end tx off tso off gso off
	done
	capture - p1 "$SCRATCH/tunnel.pcap" "${frames[@]}"
	moves "$name: offloads off" "$inner"
	capture_end
	between "$(largest "$SCRATCH/tunnel.pcap")" 1000 1514 "$name: offloads off: nothing above the MTU"
	is "$(wrong_sums "$SCRATCH/tunnel.pcap")" "" "$name: offloads off: no wrong checksum in the capture"
	between "$(captured "$SCRATCH/tunnel.pcap" -vv | grep -c 'correct)')" 100 1000000 "$name: offloads off: the capture has checksums to judge"
	for end in "blue c0" "- p1"; do
		# shellcheck disable=SC2086
		offload $end tx on tso on gso on gro on
	done
	is "$(csum_errors -) $(csum_errors blue)" "0 0" "$name: nobody met a wrong checksum"
	is "$(counter - tun0 rx errors) $(counter blue tun0 rx errors)" "0 0" "$name: the tunnel met no error"
	ip link del tun0
	ip -n blue link del tun0
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
	capture - p1 "$SCRATCH/sums.pcap" "${frames[@]}"
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

	sctp "$mode: SCTP" - 10.0.1.1 fd00:1::1

	# In tunnels.
	full=$bulk bulk=$(scale 2M 1M)
	tunnel "VXLAN" vxlan "vxlan id 7 local OURS remote THEIRS dstport 4789 udpcsum dev DEV"
	tunnel "GRE with checksums" ip_gre "gre local OURS remote THEIRS csum"
	# The debug kernel is too slow for more.
	if [ "$LAB" != debug ]; then
		tunnel "VXLAN over IPv6" vxlan "vxlan id 8 local OURS remote THEIRS dstport 4789 dev DEV"
		tunnel "GRE over IPv6" ip6_gre "ip6gre local OURS remote THEIRS"
		tunnel "geneve" geneve "geneve id 9 remote THEIRS dstport 6081 udpcsum"
		tunnel "sit" sit "sit local OURS remote THEIRS"
		tunnel "ip6tnl over IPv6" ip6_tunnel "ip6tnl local OURS remote THEIRS mode any"
	fi
	bulk=$full

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
	capture far up1 "$SCRATCH/wire.pcap" "${frames[@]}" 'tcp or udp or icmp or icmp6'
	moves "$mode: through a plain uplink, IPv4" 10.0.9.2
	probe "$mode: through a plain uplink: " blue --size 8000 tcp:10.0.9.2 tcp:fd00:9::2 udp:10.0.9.2 udp:fd00:9::2
	capture_end
	unlike "$(captured "$SCRATCH/wire.pcap" -vv src net 10.0.1.0/24 or src net fd00:1::/64 | grep -E 'incorrect|bad .*cksum' | head -n 3)" . \
		"$mode: through a plain uplink: no wrong checksum in the capture"
	between "$(largest "$SCRATCH/wire.pcap" src net 10.0.1.0/24 or src net fd00:1::/64)" 1000 1514 "$mode: through a plain uplink: nothing above the MTU"
	sctp "$mode: SCTP through a plain uplink" far 10.0.9.2 fd00:9::2
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
