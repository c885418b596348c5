#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Who still sees a packet that takes a shortcut, at each place: the chains of
# the parent and of the child, taps, traffic control, and the port's statistics.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_views
for mode in l3 l2; do
	[ "$mode" = l3 ] || { reset_net; world l2; }
	from_tool "$mode: " python3 -S "$TOOLS/shortcut_counts.py" "$mode"
done

done_testing
