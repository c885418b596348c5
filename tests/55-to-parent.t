#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a child sends to its parent's own addresses: who sees it and acts on it,
# whose it is, and that nobody is asked where nobody looks.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code

for mode in l3 l2; do
	world "$mode"
	from_tool "$mode: " python3 -S "$TOOLS/to_parent.py" "$mode"
	reset_net
done

done_testing
