#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Nothing that was found out about a packet outlives what it relied on: after
# every change of routes, nexthops, rules and marks the very next packet goes by
# the new state; routes that refuse, and those that are shared, are left to the
# full path.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_changes routes

done_testing
