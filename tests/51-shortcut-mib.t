#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a child's stack counts (nstat, /proc/net/dev_snmp6) of packets that come by each
# shortcut: as by the full path, for the namespace and for the device that has the address.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
world l3

# Addresses that are not the pair's own.
batch blue "addr add 10.0.9.5/32 dev lo" "addr add fd00:9::5/128 dev lo nodad"
receives blue lo fd00:9::5
must ip route add 10.0.9.5 dev p1
must ip -6 route add fd00:9::5 dev p1
discard_server blue

COUNTERS='^(Ip(InReceives|InDelivers|InHdrErrors|InAddrErrors|InDiscards|ForwDatagrams)|IpExt(InOctets|InNoECTPkts|InECT0Pkts)|Ip6(InReceives|InDelivers|InHdrErrors|InAddrErrors|InDiscards|InOctets|InNoECTPkts|InECT0Pkts|InMcastPkts|OutForwDatagrams))$'

# counts: of the child, a line "WHOSE NAME VALUE" each.
counts() {
	local file
	in_ns blue nstat -asz | awk -v re="$COUNTERS" '$1 ~ re { print "ns", $1, $2 }'
	for file in c0 lo; do
		in_ns blue cat "/proc/net/dev_snmp6/$file" | awk -v dev="$file" -v re="$COUNTERS" '$1 ~ re { print dev, $1, $2 }'
	done
}

# since: by how much what has grown since then.
since() {
	counts | awk -v file="$SCRATCH/counts" '
		BEGIN { while ((getline line <file) > 0) { split(line, f, " "); was[f[1], f[2]] = f[3] } }
		$3 != was[$1, $2] { print $1, $2, $3 - was[$1, $2] }'
}
# shellcheck disable=SC2317 # called by name
all_in() { since | grep -qE "^ns Ip6?InDelivers $1\$"; }

# grown ADDR COUNT: by how much what grows when so many datagrams come there; once more if the
# link's own news (MLD) came between.
grown() {
	local version=Ip since
	[[ $1 != *:* ]] || version=Ip6
	for _ in 1 2 3 4 5; do
		counts >"$SCRATCH/counts"
		send_udp outside "$1" "$2" 100
		wait_until "$PATIENCE" all_in "$2"
		since=$(since)
		[[ $version = Ip6 && $since =~ InMcastPkts ]] || break
	done
	if [ $version = Ip6 ]; then grep Ip6 <<<"$since"; else grep -v Ip6 <<<"$since"; fi
}

taken() { ethtool -S p1 | awk -v name="rx_$1:" '$1 == name { print $2 }'; }

# check SET ADDR: by the set as by the full path, and really by that place.
check() {
	local set=$1 addr=$2 full before
	must ip link set p1 type passthru shortcut none
	full=$(grown "$addr" 20)
	like "$full" 'ns Ip6?InDelivers 20' "$set, $addr: the full path counts"
	# The parent's own sockets would have what is held for a port that does nothing.
	if [ "$set" = netfilter ]; then hold add "$addr"; fi
	must ip link set p1 type passthru shortcut "$set"
	send_udp outside "$addr" 2 100
	wait_until "$PATIENCE" settled "$set"
	before=$(taken "$set")
	is "$(grown "$addr" 20)" "$full" "$set, $addr: the child counts the same"
	between "$(($(taken "$set") - before))" 20 100 "$set, $addr: ... of what came by the shortcut"
	if [ "$set" = netfilter ]; then hold del "$addr"; fi
}
hold() { # add|del ADDR
	must ip route "$1" local "$2" dev p1
}
# shellcheck disable=SC2317 # called by name
settled() { # PLACE: nothing more comes by it
	local before
	before=$(taken "$1")
	sleep 0.1
	[ "$before" = "$(taken "$1")" ]
}

for place in device route; do
	for addr in 10.0.1.2 fd00:1::2 10.0.9.5 fd00:9::5; do check $place $addr; done
done
for addr in 10.0.1.2 fd00:1::2; do check netfilter $addr; done

done_testing
