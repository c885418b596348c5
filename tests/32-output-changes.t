#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a child sends by the shortcut meets all that its parent has in its way:
# queues, limits, filters, NAT, routes that refuse, policies; and nothing is lost
# or overtaken when things change under it.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

steady_code
world l3
tool output changes
tool output_uplinks

done_testing
