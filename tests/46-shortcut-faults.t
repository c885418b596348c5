#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --leaks --cpus 1
#
# There is no memory for what a packet needs: it may be lost, but nobody else gets
# it, and of the next one nothing is believed for it. It needs a kernel with fault
# injection, which is the debug lab's.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"

if ! [ -e /sys/kernel/debug/failslab/cache-filter ]; then
	skip_all "this kernel injects no faults"
fi
load_module

world l3
tool shortcut_faults
reset_net
done_testing
