#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Each reason for which a packet takes no shortcut (fall_... of ethtool -S): it is counted
# for the packets that it concerns and no others, and the full path has them.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

steady_code
world l3
netns_add deep
must in_ns blue sysctl -qw net.ipv4.ip_forward=1
must in_ns blue sysctl -qw net.ipv6.conf.all.forwarding=1
tool shortcut_falls

done_testing
