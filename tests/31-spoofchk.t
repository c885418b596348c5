#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A child sends from its own addresses and from no others, whatever it makes its
# packets with and whichever way they take, for as long as the port says so; and
# whose an address is the parent's routes say, at once.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

for mode in l3 l2; do
	world "$mode"
	from_tool "$mode: " python3 -S "$TOOLS/spoofchk.py" "$mode"
	reset_net
done

done_testing
