#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# XDP programs (generic ones) keep their place: on the uplink before every shortcut,
# on the child's device behind all that lead to it.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

for mode in l3 l2; do
	world "$mode"
	tool shortcut_xdp "$mode"
	reset_net
done

done_testing
