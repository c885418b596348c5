#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a port takes apart, and which sums it finishes, is its own to say (ethtool -K,
# gso_max_size): by each shortcut as by the full path.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
world l3

LARGEST=185000
for ns in outside blue; do must in_ns "$ns" sysctl -qw net.ipv4.tcp_tso_rtt_log=20; done

# longest FROM TO DEV ADDR [LEAST]: of what DEV receives of much by TCP; of more, and once
# more, if nothing is that long, because TCP makes such packets once its window has grown.
longest() {
	local from=$1 to=$2 dev=$3 addr=$4 least=${5:-0} amount longest
	amount=$(scale 10M 4M)
	for _ in 1 2 3 4; do
		SNAPLEN=128 capture "$to" "$dev" "$SCRATCH/bulk.pcap" tcp dst port 5201
		iperf "$from" -c "$addr" -n "$amount" -l 1M -w 4M >"$SCRATCH/bulk" 2>&1 || cat "$SCRATCH/bulk" >&2
		capture_end
		longest=$(captured "$SCRATCH/bulk.pcap" -w - | python3 -S "$TOOLS/longest.py")
		[ "${longest:-0}" -lt "$least" ] || break
		amount=$(scale 60M 20M)
	done
	echo "$longest"
}

counted() { ethtool -S "$1" | awk -v name="$2:" '$1 == name { print $2 }'; }

# sizes NS DEV BYTES
sizes() {
	must ip_ns "$1" link set "$2" gso_max_size "$3" gro_max_size "$3" gso_ipv4_max_size "$3" gro_ipv4_max_size "$3"
}

# came_apart NAME PLACE LEAST MOST ADDR: so long are the longest that come to the child, and the
# port has kept some from its shortcut.
came_apart() {
	local name=$1 before
	before=$(counted p1 fall_port_tc)
	between "$(longest outside blue c0 "$5" "$3")" "$3" "$4" "$name"
	if [ "$2" = none ]; then return; fi
	between "$(($(counted p1 fall_port_tc) - before))" 1 1000000 "$name: it is told why"
}

# all_came NUMBER BEFORE: waits for so many at the sibling; when all are sent, some may still be
# in a queue of a busy CPU.
all_came() { must wait_until 5 at_least $(($1 + $2)) counter red c0 rx packets; }

# sums_of NAME REGEX: what is there of sums that are wrong where the sibling receives.
sums_of() {
	local before
	SNAPLEN=256 capture red c0 "$SCRATCH/sums.pcap" udp port 9
	before=$(counter red c0 rx packets)
	send_udp blue 10.0.2.2 20 100
	send_udp blue fd00:2::2 20 100
	all_came 40 "$before"
	capture_end
	like "$(captured "$SCRATCH/sums.pcap" -vv | grep -cE 'bad udp cksum')" "$2" "$1"
	is "$(captured "$SCRATCH/sums.pcap" | wc -l)" 40 "$1: all arrive"
}

discard_server red
iperf_server blue
# In the debug lab 05 has the full path, and one set stands for all.
for words in $(scale "none device route socket route,output all" all); do
	for port in p1 p2; do must ip link set "$port" type passthru shortcut "$words"; done
	for addr in 10.0.1.2 fd00:1::2; do
		name="$words, $addr"
		between "$(longest outside blue c0 $addr 1600)" 1600 65600 "$name: they come whole"
		must ethtool -K p1 tso off
		came_apart "$name, tso off: none is longer than the MTU" "$words" 1000 1514 $addr
		must ethtool -K p1 tso on
		between "$(longest outside blue c0 $addr 1600)" 1600 65600 "$name: they come whole again"
	done
done

# More than 64 KiB come by the uplink, and the port has not been told of such.
sizes - up0 $LARGEST
sizes outside out0 $LARGEST
for addr in 10.0.1.2 fd00:1::2; do
	between "$(longest outside - up0 $addr 65600)" 65600 $LARGEST "BIG TCP, $addr: they come to the parent"
	came_apart "BIG TCP, $addr: but not to the child" all 20000 65600 $addr
	sizes - p1 $LARGEST
	between "$(longest outside blue c0 $addr 65600)" 65600 $LARGEST "BIG TCP, $addr: until the port takes them"
	sizes - p1 65536
done
end_background

# Sums that are yet to be written, from child to child.
discard_server red
before=$(counted p1 tx_sibling)
sums_of "tx on: sums are left open" '^40$'
is "$(($(counted p1 tx_sibling) - before))" 40 "tx on: by the shortcut"
must ethtool -K p2 tx off
before=$(counted p1 tx_sibling)
sums_of "tx off: each sum is written" '^0$'
is "$(($(counted p1 tx_sibling) - before))" 0 "tx off: by the full path"
must ethtool -K p2 tx on
before=$(counted p1 tx_sibling)
sums_of "tx on again" '^40$'
is "$(($(counted p1 tx_sibling) - before))" 40 "tx on again: by the shortcut"

# Few that are sent as one, and are not longer than the MTU together.
IN_PARTS='
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(17, 103, 500)  # SOL_UDP, UDP_SEGMENT
sock.connect((sys.argv[1], 9))
for _ in range(10):
    sock.send(bytes(1000))
'
# parts NAME LENGTH COUNT: so many so long come to the sibling, and how many by the shortcut.
parts() {
	local before received
	SNAPLEN=256 capture red c0 "$SCRATCH/parts.pcap" udp port 9
	before=$(counted p1 tx_sibling) received=$(counter red c0 rx packets)
	must in_ns blue python3 -S -c "$IN_PARTS" 10.0.2.2
	must in_ns blue python3 -S -c "$IN_PARTS" fd00:2::2
	all_came "${3% *}" "$received"
	capture_end
	is "$(captured "$SCRATCH/parts.pcap" | grep -cE "length $2\$") $(($(counted p1 tx_sibling) - before))" "$3" "$1"
}
parts "two in one: whole, by the shortcut" 1000 "20 20"
must ethtool -K p2 tx-udp-segmentation off
parts "tx-udp-segmentation off: apart, by the full path" 500 "40 0"
must ethtool -K p2 tx-udp-segmentation on
parts "tx-udp-segmentation on: whole again" 1000 "20 20"

# What stands for many may lie about its length: from a machine behind a tap, or a child that may send
# as it likes. It comes as by the full path.
# lies NS DEV MAC FROM TO SEEN_NS SEEN_DEV: how much comes of each kind of packet.
lies() {
	local kind
	for kind in right short none long sum; do
		capture "$6" "$7" "$SCRATCH/lies.pcap" src "$4" and tcp dst port 9
		must in_ns "$1" python3 -S "$TOOLS/lying.py" "$2" "$3" "$4" "$5" "$kind" 4
		must in_ns "$1" python3 -S "$TOOLS/lying.py" "$2" "$3" "$4" "$5" right 1
		wait_until "$PATIENCE" lies_end
		capture_end
		echo "$kind: $(captured "$SCRATCH/lies.pcap" | awk '{ bytes += $NF } END { print bytes }')"
	done
}
# shellcheck disable=SC2317 # called by name
lies_end() { [ -n "$(captured "$SCRATCH/lies.pcap")" ]; }

for addrs in "192.0.2.2 10.0.1.2" "2001:db8:2::2 fd00:1::2"; do
	read -r far near <<<"$addrs"
	must ip link set p1 type passthru shortcut none
	in=$(lies outside out0 "$(link_value - up0 address)" "$far" "$near" blue c0)
	out=$(lies blue c0 00:00:00:00:00:00 "$near" "$far" - up0)
	must ip link set p1 type passthru shortcut all
	is "$(lies outside out0 "$(link_value - up0 address)" "$far" "$near" blue c0)" "$in" "$far: as much comes of what lies about its length"
	is "$(lies blue c0 00:00:00:00:00:00 "$near" "$far" - up0)" "$out" "$near: ... and goes out"
done

done_testing
