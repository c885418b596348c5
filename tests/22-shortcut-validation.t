#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A shortcut lets nothing in that the full path keeps out: sources that lie,
# switches turned while traffic runs, addresses and sockets that belong to
# somebody else.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_validation

done_testing
