#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Nothing that was found out about a packet outlives what it relied on: after
# every change of links, addresses, devices and settings, in the parent and in
# the child, the very next packet goes by the new state.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
netns_add middle
tool shortcut_changes links

done_testing
