#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a security module asks of packets after routing, it asks in the child of whatever
# leaves by a shortcut too: with the socket that sends it.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
world l3

FUNCTION=apparmor_ip_postroute
TRACE=/sys/kernel/tracing
can_trace() {
	can_trace_drops && echo "p:passthru/asked $FUNCTION sk=+24(\$arg2):x64" >"$TRACE/kprobe_events"
} 2>/dev/null

# asked NS ADDR SENDER...: of how many packets it was asked, and how many of these had no socket.
asked() {
	local ns=$1
	shift
	echo 1 >"$TRACE/events/passthru/asked/enable"
	: >"$TRACE/trace"
	must in_ns "$ns" "$@"
	echo 0 >"$TRACE/events/passthru/asked/enable"
	awk '/asked:/ { all++ } /sk=0x0/ { none++ } END { print all + 0, none + 0 }' "$TRACE/trace"
}

if ! can_trace; then
	skip "this kernel has no such security module, or cannot trace it" "what is asked after routing"
	done_testing
fi
must ip link set p1 type passthru shortcut all
must ip link set p2 type passthru shortcut all
discard_server red
discard_server outside

shortcuts_taken() { ethtool -S p1 | awk '/tx_sibling|tx_output/ { sum += $2 } END { print sum }'; }

# Sends as udp.py does, and wants to know when.
WITH_TIMES='
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, 37, 1 << 1 | 1 << 4)  # SO_TIMESTAMPING: by software, of what is sent
sock.connect((sys.argv[1], 9))
for _ in range(20):
    sock.send(bytes(100))
'
for to in 10.0.2.2 fd00:2::2 192.0.2.2 2001:db8:2::2; do
	send_udp blue "$to" 5 100
	sleep 0.1
	before=$(shortcuts_taken)
	read -r all none <<<"$(asked blue python3 -S "$TOOLS/udp.py" send "$to" 9 20 100)"
	between "$(($(shortcuts_taken) - before))" 20 25 "to $to: by the shortcut"
	between "$all" 20 45 "to $to: it is asked of each"
	is "$none" 0 "to $to: ... and of whose it is"
	read -r all none <<<"$(asked blue python3 -S -c "$WITH_TIMES" "$to")"
	# In the parent nobody's: what is told of times is told in the child.
	between "$((all - none))" 20 45 "to $to, with times: it is asked of each, and whose it is"
done

done_testing
