#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A parent that tracks connections, filters and translates them keeps its say:
# the first packet of each connection is its rules' to judge, what needs
# translation gets it, and the child sees nothing of what the parent noted.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_conntrack
reset_net
world l2
tool shortcut_conntrack above

done_testing
