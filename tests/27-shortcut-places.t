#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Where packets come by and who else has to do with them, by each shortcut:
# taps, traffic control, IPsec policies, VLANs, bridges, VRFs, children of
# children; and where the hooks are.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

# nested SPACE NEXT NUMBER: NEXT becomes a child of SPACE, with an address of
# its own net; everything for 10.2.0.0/16 goes further down.
nested() {
	local space=$1 next=$2 n=$3
	netns_add "$next"
	forwarding_on "$space"
	must ip -n "$space" link add p1 type passthru peer name c0 netns "$next"
	address "$space" p1 "10.1.$n.1/24" "fd00:1$n::1/64"
	address "$next" c0 "10.1.$n.2/24" "fd00:1$n::2/64"
	must ip -n "$next" route add default via "10.1.$n.1"
	must ip -n "$next" -6 route add default via "fd00:1$n::1"
	must ip -n "$space" route add 10.2.0.0/16 via "10.1.$n.2"
	must ip -n "$space" -6 route add fd00:22::/32 via "fd00:1$n::2"
}

world l3
nested blue middle 1
nested middle low 2
must ip route add 10.2.0.0/16 via 10.0.1.2
must ip -6 route add fd00:22::/32 via fd00:1::2
must ip route add 10.1.0.0/16 via 10.0.1.2
must ip -6 route add fd00:12::/32 via fd00:1::2
must ip -n blue route add 10.1.2.0/24 via 10.1.1.2
must ip -n blue -6 route add fd00:12::/64 via fd00:11::2
address low lo 10.2.2.2/32 fd00:22::2/128

tool shortcut_stack places

done_testing
