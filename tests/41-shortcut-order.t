#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --nic 2
#
# What goes by the full path waits in a CPU's backlog, what takes a shortcut does
# not: no packet may overtake another of its flow by that. A network card hands over
# many packets at once, so that they meet.
#
#	outside card ----- up0 [ parent ] p1 === c0 blue, p2 === c0 red

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

# User Mode Linux has none.
if [ "$LAB" = uml ]; then skip_all "no network cards in this lab"; fi
can_load virtio_net
eventually "$PATIENCE" "two cards on one wire are there" two_cards
read -r near far <<<"$(cards | xargs)"
steady_code

netns_add outside
must ip link set "$far" netns outside
# QEMU has a router on the wire. So it is tagged, and nobody is to go by what that says.
must in_ns outside sysctl -qw net.ipv6.conf.default.accept_ra=0 "net.ipv6.conf.$far.accept_ra=0"
must sysctl -qw net.ipv6.conf.default.accept_ra=0 "net.ipv6.conf.$near.accept_ra=0"
must ip link set "$near" up
must ip -n outside link set "$far" up
must ip link add link "$near" name up0 type vlan id 7
must ip -n outside link add link "$far" name out0 type vlan id 7
address - up0 192.0.2.1/24 2001:db8:2::1/64
address outside out0 192.0.2.2/24 2001:db8:2::2/64
must ip -n outside route add default via 192.0.2.1
must ip -n outside -6 route add default via 2001:db8:2::1
forwarding_on -
child l3 blue 1
child l3 red 2
# Blue forwards, for anybody.
forwarding_on blue
must ip link set p1 type passthru spoofchk off
eventually "$PATIENCE" "the wire carries" equals 1 carrier outside out0
eventually "$PATIENCE" "the world is there: IPv4" pings outside 10.0.1.2
eventually "$PATIENCE" "the world is there: IPv6" pings outside fd00:2::2

tool shortcut_order "$(scale 60 15)" "$(scale 8 5)"

done_testing
