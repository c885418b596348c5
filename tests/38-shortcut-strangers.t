#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The parent's own packets beside a port with shortcuts: they are routed once,
# and no more while nothing changes; sources that lie stay out, every change has
# its effect on the very next packet, and rules that look for sockets find them.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_strangers

done_testing
