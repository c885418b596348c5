#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --timeout 600
#
# Each allocation of a request fails in turn: there is an error or a whole pair,
# and nothing is lost. It needs a kernel with fault injection, which is the
# debug lab's.

. "$(dirname "$0")/lib.sh"

# Where the kernel lets allocations fail: all of them, without a word each time.
knobs=/sys/kernel/debug
if ! [ -e /proc/self/fail-nth ] || ! [ -d $knobs/failslab ]; then
	skip_all "this kernel injects no faults"
fi
for kind in failslab fail_page_alloc; do
	echo N >$knobs/$kind/ignore-gfp-wait
	echo 0 >$knobs/$kind/verbose
	echo Y >$knobs/$kind/task-filter
done
echo 0 >$knobs/fail_page_alloc/min-order

load_module
netns_add blue
for operation in up mtu delete move create; do
	from_tool "" timeout 1500 python3 -S "$TOOLS/fail_nth.py" "$KIND" "$operation" blue
done

child l3 red 1
ping_ok "a pair made afterwards works" - 10.0.1.2
reset_net
no_leaks "kmemleak finds nothing"
done_testing
