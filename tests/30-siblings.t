#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What one child sends to another of the same parent: by which way it goes, who
# sees it, whose it is; in a parent that tracks connections and in one that does
# not, between children of children, and in namespaces that are wired in a ring.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code

# A third child, for what is neither the sender's nor the receiver's.
family_of() { # MODE
	world "$1"
	child "$1" green 3
	talkative green
}

family_of l2
from_tool "l2: " python3 -S "$TOOLS/siblings.py" frames
reset_net

steady_code
family_of l3
tool siblings packets

# Children of children, three deep, each level with two of them.
nested() { # SPACE PORT NEXT NUMBER
	netns_add "$3"
	forwarding_on "$1"
	must ip -n "$1" link add "$2" type passthru peer name c0 netns "$3"
	address "$1" "$2" "10.1.$4.1/24" "fd01:$4::1/64"
	address "$3" c0 "10.1.$4.2/24" "fd01:$4::2/64"
	must ip -n "$3" route add default via "10.1.$4.1"
	must ip -n "$3" -6 route add default via "fd01:$4::1"
}
nested blue p1 middle 1
nested blue p2 aside 2
nested middle p1 low 3
must ip route add 10.1.0.0/16 via 10.0.1.2
must ip -n blue route add 10.1.3.0/24 via 10.1.1.2
must ip -6 route add fd01::/16 via fd00:1::2
must ip -n blue -6 route add fd01:3::/64 via fd01:1::2
tool siblings nested
reset_net

# Two namespaces that are children of each other, and somebody who sends into them.
steady_code
netns_add one two outside
forwarding_on one
forwarding_on two
must ip -n one link add qa type passthru spoofchk off peer name ka numtxqueues 2 netns two
must ip -n two link add qb type passthru spoofchk off peer name kb numtxqueues 2 netns one
must ip -n one link add up0 type veth peer name out0 netns outside
address outside out0 192.0.2.2/24 2001:db8:2::2/64
must ip -n outside route add default via 192.0.2.1
must ip -n outside -6 route add default via 2001:db8:2::1
address one up0 192.0.2.1/24 2001:db8:2::1/64
address one qa 10.0.1.1/24 fd00:1::1/64
address two ka 10.0.1.2/24 fd00:1::2/64
address two qb 10.0.2.1/24 fd00:2::1/64
address one kb 10.0.2.2/24 fd00:2::2/64
for ns in one two; do
	# shellcheck disable=SC2016 # the inner shell expands
	in_ns "$ns" sh -c 'for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$file"; done'
done
tool ring
reset_net

# Children that send each other as fast as they can while the module goes.
steady_code
for track in "" "ct state invalid drop"; do
	[ -e /sys/module/passthru ] || load_module
	outside_host
	child l3 blue 1
	child l3 red 2
	must nft "table inet track { chain f { type filter hook forward priority 0; $track; } ; }"
	for port in p1 p2; do must ip link set "$port" type passthru shortcut output; done
	discard_server blue
	discard_server red
	for way in "blue 10.0.2.2" "red 10.0.1.2" "blue fd00:2::2" "red fd00:1::2"; do
		# shellcheck disable=SC2086 # two words are wanted
		set -- $way
		background "$1" python3 -S "$TOOLS/udp.py" flood "$2" 9
	done
	# shellcheck disable=SC2317 # called by name
	siblings_send() { ethtool -S p1 | grep -q 'tx_sibling: [0-9][0-9][0-9]'; }
	eventually 10 "siblings send${track:+, tracked}" siblings_send
	succeeds "the module goes while they do" rmmod passthru
	end_background
	reset_net
done

done_testing
