#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Whatever shortcuts a port has, and whatever rules the parent has, the same
# traffic gets through: ICMP, UDP, TCP, from outside, from the child, between
# children, published ports and masquerading, IPv4 and IPv6, both modes.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

for mode in l3 l2; do
	world "$mode"
	# shellcheck disable=SC2046 # one word or none
	from_tool "$mode: " python3 -S "$TOOLS/shortcut_delivery.py" $([ "$mode" = l3 ] || echo --quick)
	reset_net
done

done_testing
