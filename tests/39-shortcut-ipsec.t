#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# ESP: a child is its end, and what is encrypted takes the shortcuts; the parent
# is its end, and the child cannot tell that from what came in clear.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
can_load esp4
can_load esp6
tool shortcut_ipsec

done_testing
