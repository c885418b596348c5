#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every packet and byte is counted once on each end, in both directions, from
# any number of CPUs and by any way to send, and every place that shows the
# counters shows the same.

. "$(dirname "$0")/lib.sh"
load_module

# all_counters NS DEV: rx packets, rx bytes, tx packets, tx bytes
all_counters() {
	local json re='"rx":\{"bytes":([0-9]+),"packets":([0-9]+),.*"tx":\{"bytes":([0-9]+),"packets":([0-9]+),'
	json=$(ip_ns "$1" -s -j link show dev "$2")
	[[ $json =~ $re ]] && echo "${BASH_REMATCH[2]} ${BASH_REMATCH[1]} ${BASH_REMATCH[4]} ${BASH_REMATCH[3]}"
}

other_than_0() { # NS DEV: of what ethtool counts
	in_ns "$1" ethtool -S "$2" | sed -n 's/^ *\([a-z_0-9]*\): \([1-9]\)/\1=\2/p' | xargs
}

troubles() { # NS DEV: the sum of all errors and drops
	local key sum=0
	for key in rx_errors tx_errors rx_dropped tx_dropped; do
		sum=$((sum + $(in_ns "$1" cat "/sys/class/net/$2/statistics/$key")))
	done
	echo "$sum"
}

silent_pair() { # MODE
	netns_add blue
	pair "$1" p1 c0 blue
	silence "$1"
	discard_server -
	discard_server blue
}

# The ends are read one after the other, and neighbours may talk in between, so
# this is for waiting.
# shellcheck disable=SC2317 # called by name
balanced() {
	local port inner
	read -ra port <<<"$(all_counters - p1)"
	read -ra inner <<<"$(all_counters blue c0)"
	echo "port: ${port[*]}, child: ${inner[*]}"
	[ "${port[*]:0:2}" = "${inner[*]:2:2}" ] && [ "${port[*]:2:2}" = "${inner[*]:0:2}" ]
}

# sent NAME NS DEV NS DEV ADDR COUNT SIZE [CPUS]: sends and compares both ends.
sent() {
	local name=$1 from=("${@:2:2}") to=("${@:4:2}") addr=$6 count=$7 size=$8 cpus=${9:-1}
	local before_from before_to bytes
	read -ra before_from <<<"$(all_counters "${from[@]}")"
	read -ra before_to <<<"$(all_counters "${to[@]}")"
	send_udp "${from[0]}" "$addr" "$count" "$size" "$cpus"
	bytes=$((count * (size + 28 + header)))
	eventually 5 "$name: the receiving end counts them" equals \
		"$((before_to[0] + count)) $((before_to[1] + bytes)) ${before_to[2]} ${before_to[3]}" all_counters "${to[@]}"
	is "$(all_counters "${from[@]}")" \
		"${before_from[0]} ${before_from[1]} $((before_from[2] + count)) $((before_from[3] + bytes))" \
		"$name: the sending end counts them"
}

# others NAME BYTES CMD...: what CMD sends by the port, 300 packets of so many bytes, both
# ends count.
others() {
	local name=$1 bytes=$2 before
	shift 2
	read -ra before <<<"$(all_counters - p1)"
	succeeds "$name" "$@"
	is "$(all_counters - p1)" "${before[*]:0:2} $((before[2] + 300)) $((before[3] + 300 * bytes))" "$name: the port counts each"
	eventually 5 "$name: the child counts each" equals "${before[2]} ${before[3]} ${before[0]} ${before[1]}" earlier_child 300 "$bytes"
}

# earlier_child COUNT BYTES: what the child's device had counted before so many came.
# shellcheck disable=SC2317 # called by name
earlier_child() {
	local now
	read -ra now <<<"$(all_counters blue c0)"
	echo "$((now[0] - $1)) $((now[1] - $1 * $2)) ${now[2]} ${now[3]}"
}

# generator COMMAND...: pktgen's, for the port
# shellcheck disable=SC2317 # called by name
generator() {
	local command
	for command; do echo "$command" >/proc/net/pktgen/p1 || return; done 2>/dev/null
}

# generate: 300 packets by pktgen, of 100 bytes with an Ethernet header
# shellcheck disable=SC2317 # called by name
generate() {
	generator "count 300" "pkt_size 100" "dst 10.0.1.2" "src_min 10.0.1.1" "dst_mac $(link_value blue c0 address)" &&
		echo start >/proc/net/pktgen/pgctrl && grep 'pkts-sofar: 300 .*errors: 0' /proc/net/pktgen/p1
}

# Those that have no use for a queue.
past_the_queue() {
	local mac
	mac=$(link_value blue c0 address)
	[ "$header" = 14 ] || mac=00:00:00:00:00:00
	# An UDP packet of 60 bytes.
	others "$mode: frames past the queue" $((60 + header)) \
		python3 -S "$TOOLS/frame.py" send p1 --bypass --count 300 --to "$mac" ipv4
	if ! can_load pktgen; then
		skip "no pktgen" "$mode: pktgen"
		return
	fi
	must sh -c 'echo rem_device_all >/proc/net/pktgen/kpktgend_0'
	if [ "$header" = 0 ]; then
		fails "$mode: pktgen makes Ethernet frames only" sh -c 'echo add_device p1 >/proc/net/pktgen/kpktgend_0'
		return
	fi
	must sh -c 'echo add_device p1 >/proc/net/pktgen/kpktgend_0'
	others "$mode: pktgen" 100 generate
	fails "$mode: pktgen may not send one packet twice" generator "clone_skb 5"
	must generator "burst 1"
	must sh -c 'echo rem_device_all >/proc/net/pktgen/kpktgend_0'
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	silent_pair "$mode"
	# A link without an Ethernet header counts none.
	header=14
	[ "$(link_value - p1 link_type)" = none ] && header=0
	is "$(all_counters - p1) $(all_counters blue c0)" "0 0 0 0 0 0 0 0" "$mode: nothing is counted before the first packet"

	sent "$mode: one packet out" - p1 blue c0 10.0.1.2 1 1
	sent "$mode: one packet back" blue c0 - p1 10.0.1.1 1 1
	sent "$mode: 500 packets out" - p1 blue c0 10.0.1.2 500 100
	sent "$mode: 500 packets back" blue c0 - p1 10.0.1.1 500 1472
	sent "$mode: 2 CPUs out" - p1 blue c0 10.0.1.2 2000 64 2
	sent "$mode: 2 CPUs back" blue c0 - p1 10.0.1.1 2000 64 2
	sent "$mode: 4 senders out" - p1 blue c0 10.0.1.2 2000 700 4
	past_the_queue
	is "$(troubles - p1) $(troubles blue c0)" "0 0" "$mode: no errors and no drops"

	# The same numbers wherever they are shown.
	read -r rx_packets rx_bytes tx_packets tx_bytes <<<"$(all_counters blue c0)"
	is "$(in_ns blue cat /sys/class/net/c0/statistics/{rx_packets,rx_bytes,tx_packets,tx_bytes} | xargs)" \
		"$rx_packets $rx_bytes $tx_packets $tx_bytes" "$mode: sysfs says the same"
	is "$(in_ns blue sed -n 's/^ *c0: *//p' /proc/net/dev | awk '{ print $2, $1, $10, $9 }')" \
		"$rx_packets $rx_bytes $tx_packets $tx_bytes" "$mode: /proc/net/dev says the same"
	if [ "$KIND" = passthru ]; then
		# All took the full path, and none was dropped.
		is "$(other_than_0 - p1) $(other_than_0 blue c0)" \
			"peer_ifindex=$(in_ns blue cat /sys/class/net/c0/ifindex) peer_ifindex=$(cat /sys/class/net/p1/ifindex)" \
			"$mode: ethtool -S: the other end's index, and nothing else that is not 0"
		like "$(in_ns blue ethtool -S c0)" \
			"tx_drop_no_peer: 0.*tx_drop_spoofed: 0.*rx_device: 0.*rx_socket: 0.*fall_nested: 0.*tx_output: 0.*tx_sibling: 0" \
			"$mode: ethtool -S: drops and shortcuts have their counters"
	fi

	# Two families and two directions at once, and large sends: what leaves one
	# end is what enters the other.
	in_ns blue sysctl -qw net.ipv6.conf.c0.disable_ipv6=0
	sysctl -qw net.ipv6.conf.p1.disable_ipv6=0
	address - p1 fd00:1::1/64
	address blue c0 fd00:1::2/64
	read -ra before <<<"$(all_counters blue c0)"
	iperf_server blue
	succeeds "$mode: iperf3, both directions" iperf - -c fd00:1::2 --bidir -n 3M
	end_background
	eventually 5 "$mode: all that one end sent, the other received" balanced
	# The first direction that has written its 3 MiB ends both, and what is still on its
	# way is not waited for. If each large send counted as one frame, these were some 100 kB.
	read -ra after <<<"$(all_counters blue c0)"
	between $((after[1] + after[3] - before[1] - before[3])) 1000000 100000000 \
		"$mode: bytes of large sends are counted as bytes"
	reset_net
done

# What is told of a port at last is all that it carried, by shortcuts too.
last_account() { # NAME COMMAND...
	local name=$1 noted last index good=0
	shift
	world l3
	must ip link set p1 type passthru shortcut all
	discard_server outside
	discard_server blue
	send_udp outside 10.0.1.2 300 100
	send_udp blue 192.0.2.2 300 100
	end_background
	read -ra noted <<<"$(all_counters - p1)"
	between "$(ethtool -S p1 | awk '/rx_device|tx_output/ { sum += $2 } END { print sum }')" 500 1000 "$name: most came and went by shortcuts"
	read -ra last <<<"$(python3 -S "$TOOLS/last_account.py" p1 "$@")"
	for index in 0 1 2 3; do [ "${last[index]:-0}" -ge "${noted[index]}" ] || good=1; done
	result "$good" "$name: the last that is told of the port" || diag "noted: ${noted[*]}, at last: ${last[*]}"
	reset_net
}
if [ "$KIND" = passthru ]; then
	. "$TESTS/shortcuts.sh"
	if [ "$LAB" != debug ]; then
		last_account "the port is deleted" ip link del p1
		last_account "its child is deleted" ip -n blue link del c0
	fi
	last_account "the child's namespace ends" ip netns del blue
fi

done_testing
