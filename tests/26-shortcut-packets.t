#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packets of all kinds, by each shortcut: fragments, options, broken ones, large
# ones, errors, TTL, path MTU, connections in all states.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3

# A router and a host far away, by a link with a small MTU.
netns_add far
forwarding_on outside
must ip -n outside link add small mtu 1300 type veth peer name far0 mtu 1300 netns far
address outside small 198.51.101.1/24 3fff:8::1/64
address far far0 198.51.101.2/24 3fff:8::2/64
must ip -n outside route add 198.51.100.9 via 198.51.101.2
must ip -n outside -6 route add 3fff:9::9 via 3fff:8::2
must ip route add 198.51.100.9 via 192.0.2.2
must ip -6 route add 3fff:9::9 via 2001:db8:2::2
must ip -6 route add 3fff:8::/64 via 2001:db8:2::2
must ip route add 198.51.101.0/24 via 192.0.2.2

tool shortcut_stack packets

done_testing
