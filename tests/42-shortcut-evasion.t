#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What would get by: past the parent's rules what tracking finds invalid, past what
# is on the port all that takes a shortcut, past the child's rules what those say of
# ports, past tc what tc itself has sent; packets of a namespace that is its own
# child; and memory that nobody is charged for.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code

# --- A namespace that is its own parent --------------------------------------
# What a socket sends by the child's device the parent's output path would give to
# the same device.
solo() { # MODE
	netns_add solo
	forwarding_on solo
	must ip -n solo link add q type passthru mode "$1" shortcut output spoofchk off peer name c
	must ip -n solo link set lo up
	must ip -n solo link set q up
	must ip -n solo link set c up
	must ip -n solo route add local 10.8.0.9 dev q
	must ip -n solo route add 198.51.100.0/24 dev c src 10.8.0.9
	must ip -n solo -6 addr add fd08::9/128 dev lo nodad
	must ip -n solo -6 route add 3fff:51::/64 dev c
	if [ "$1" = l2 ]; then
		for to in 198.51.100.1 3fff:51::1; do
			must ip -n solo neigh add "$to" lladdr "$(link_value solo q address)" dev c
		done
	fi
	local before to
	for to in 198.51.100.1 3fff:51::1; do
		before=$(counter solo q rx packets)
		send_udp solo "$to" 10 100
		eventually 5 "$1: its own child: what it sends to $to comes in by its port" at_least $((before + 10)) counter solo q rx packets
	done
	reset_net
}
solo l3
solo l2

# --- Between others -----------------------------------------------------------
steady_code
world l3
tool shortcut_evasion
reset_net

# --- Memory --------------------------------------------------------------------
# What a namespace with ports remembers is megabytes, and anybody can make one.
box=/sys/fs/cgroup/box
charged() { # SET: the bytes that the group has when there is a pair in it
	mkdir "$box"
	# shellcheck disable=SC2016 # the inner shell expands
	BOX=$box sh -c 'echo $$ >$BOX/cgroup.procs && exec unshare -n sh -c "
		ip link add p type passthru shortcut $1 peer name c && cat $BOX/memory.current"' - "$1"
	wait_until 10 rmdir "$box"
}
if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
	must sh -c 'echo +memory >/sys/fs/cgroup/cgroup.subtree_control'
	must charged none
	without=$(charged none)
	with=$(charged all)
	between $((with - without)) 7000000 40000000 "whoever makes a port is charged for what it remembers"
else
	skip "this kernel has no memory cgroups" "whoever makes a port is charged for what it remembers"
fi

done_testing
