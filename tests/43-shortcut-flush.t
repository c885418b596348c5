#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# All CPUs look the same routes up at once, again and again: of those that they make
# only one is kept by the kernel, and the others are gone as soon as they are asked.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
world l3
for port in p1 p2; do must ip link set "$port" type passthru shortcut all; done
for to in 10.0.1.2 10.0.2.2 10.0.1.2 10.0.2.2 fd00:1::2 fd00:2::2; do
	background outside ping -q -f -n "$to" >/dev/null 2>&1
done
wait_until 10 at_least 200 counter blue c0 rx packets
result $? "traffic flows"
before=$(counter blue c0 rx packets)
for ((round = 0; round < $(scale 150 30); round++)); do
	ip route flush cache
	[ $((round % 10)) != 0 ] || ip -6 route flush cache
done
between $(($(counter blue c0 rx packets) - before)) 200 1000000000 "... while routes are forgotten $round times"
end_background
ping_ok "the pair works" outside 10.0.1.2

done_testing
