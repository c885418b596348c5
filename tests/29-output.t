#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a child sends goes on by its parent's output path: who sees it, what it
# looks like outside, and what the child is told of smaller MTUs.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

for mode in l3 l2; do
	world "$mode"
	from_tool "$mode: " python3 -S "$TOOLS/output.py" views
	reset_net
done

done_testing
