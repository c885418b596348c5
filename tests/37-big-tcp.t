#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packets of more than 64 KiB, from end to end: between a child and an uplink and
# from child to child, by no shortcut and by all.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
world l3

LARGEST=185000
for end in "- up0" "- p1" "- p2" "outside out0" "blue c0" "red c0"; do
	# shellcheck disable=SC2086 # two words are wanted
	set -- $end
	must ip_ns "$1" link set "$2" gso_max_size $LARGEST gro_max_size $LARGEST \
		gso_ipv4_max_size $LARGEST gro_ipv4_max_size $LARGEST
done
# How long packets are is not to depend on how long answers take; see 05.
for ns in outside blue; do must in_ns "$ns" sysctl -qw net.ipv4.tcp_tso_rtt_log=20; done

# bulk NAME FROM TO DEV ADDR: much by TCP, and how long the longest packet was that DEV received.
bulk() {
	local name=$1 from=$2 to=$3 dev=$4 addr=$5 longest status
	# TCP makes them once its window has grown, on a busy machine later than the end.
	for _ in 1 2 3 4; do
		SNAPLEN=128 capture "$to" "$dev" "$SCRATCH/big.pcap" tcp dst port 5201
		iperf "$from" -c "$addr" -n 20M -l 1M -w 4M >"$SCRATCH/big" 2>&1
		status=$?
		capture_end
		longest=$(captured "$SCRATCH/big.pcap" -w - | python3 -S "$TOOLS/longest.py")
		if [ "$status" != 0 ] || [ "${longest:-0}" -ge 65600 ]; then break; fi
	done
	is "$status" 0 "$name: all of it arrives" || diag "$(cat "$SCRATCH/big")"
	between "$longest" 65600 $LARGEST "$name: a packet of more than 64 KiB arrives"
}

counted() { ethtool -S "$1" | awk -v name="$2:" '$1 == name { print $2 }'; }

# taken WORDS PORT COUNTER BEFORE NAME: packets went by the shortcut, if it is on.
taken() {
	if [ "$1" = none ]; then
		is "$(counted "$2" "$3")" "$4" "$5: by the full path"
	else
		between "$(counted "$2" "$3")" $(($4 + 20)) 1000000000 "$5: by the shortcut"
	fi
}

# 05 has the full path in the debug lab.
for words in $(scale "none all" all); do
	for port in p1 p2; do must ip link set "$port" type passthru shortcut "$words"; done
	for version in 4 6; do
		if [ $version = 4 ]; then
			outside=192.0.2.2 blue=10.0.1.2 red=10.0.2.2
		else
			outside=2001:db8:2::2 blue=fd00:1::2 red=fd00:2::2
		fi
		name="$words, IPv$version"
		iperf_server outside
		before=$(counted p1 tx_output)
		bulk "$name, out" blue outside out0 $outside
		taken "$words" p1 tx_output "$before" "$name, out"
		end_background
		iperf_server blue
		bulk "$name, in" outside blue c0 $blue
		end_background
		iperf_server red
		before=$(counted p1 tx_sibling)
		bulk "$name, child to child" blue red c0 $red
		taken "$words" p1 tx_sibling "$before" "$name, child to child"
		end_background
	done
done

done_testing
