#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --leaks --cpus 1
#
# Each allocation of a request fails in turn: there is an error or a whole pair,
# and nothing is lost. What there is no time for is left out evenly. It needs a
# kernel with fault injection, which is the debug lab's.

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

# The kernel warns when the rename in sysfs that is part of a move fails, whatever
# the device; nothing fails below that function. Nothing of passthru runs there.
read -r first last < <(sort /proc/kallsyms | awk '$3 == "device_rename" { first = $1; next } first && $1 != first { print first, $1; exit }')
for kind in failslab fail_page_alloc; do
	echo 32 >$knobs/$kind/stacktrace-depth
	echo "0x$first" >$knobs/$kind/reject-start
	echo "0x$last" >$knobs/$kind/reject-end
done
[ -n "$last" ]
result $? "set-up: where device_rename() lies is known"

# Only what is below the functions of the module itself is to fail from now on.
# shellcheck disable=SC2317 # called by name
only_ours() {
	local size base kind
	read -r size base < <(awk '$1 == "passthru" { print $2, $6 }' /proc/modules)
	for kind in failslab fail_page_alloc; do
		echo "$base" >"$knobs/$kind/require-start"
		printf '%#x\n' $((base + size)) >"$knobs/$kind/require-end"
	done
}

# A long run tries each one: PASSTHRU_TEST_FAULT_SECONDS=3000.
seconds=${PASSTHRU_TEST_FAULT_SECONDS:-25}
load_module
netns_add blue
must ip link add uplink type dummy
try() { # OPERATION [SECONDS]
	from_tool "" timeout $((${2:-$seconds} + 300)) python3 -S "$TOOLS/fail_nth.py" "$KIND" "$1" blue "${2:-$seconds}"
}
for operation in up mtu gro delete move; do try "$operation"; done
try create $((2 * seconds))
must only_ours
for operation in channels shortcuts other-shortcuts; do try "$operation"; done
try create-all $((2 * seconds))

child l3 red 1
ping_ok "a pair made afterwards works" - 10.0.1.2
reset_net
done_testing
