#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sockets of a child that are found otherwise than most: in a table of its own,
# bound to a device, made from a SYN cookie; and errors that come back for them
# through a parent that translates.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
world l3

# A namespace gets a table of its own for TCP where the one that makes it says so.
must sysctl -qw net.ipv4.tcp_child_ehash_entries=64
child l3 green 3
must sysctl -qw net.ipv4.tcp_child_ehash_entries=0
is "$(in_ns green sysctl -n net.ipv4.tcp_ehash_entries)" 64 "a child has a table of its own for TCP"
must sysctl -qw net.ipv4.udp_child_hash_entries=128
child l3 violet 4
netns_add amber
must sysctl -qw net.ipv4.udp_child_hash_entries=0
tool shortcut_sockets

done_testing
