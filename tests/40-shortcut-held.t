#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# An address that the parent holds for a child by a local route: whatever else the
# parent has, its own sockets do not get the child's packets; what the child sends
# from there comes by its port; and where the port does not allow it the address
# is the parent's.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_held

done_testing
