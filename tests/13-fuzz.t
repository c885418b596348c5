#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --cpus 1
#
# Random netlink requests: errors or whole pairs, never half of one and never a
# complaint of the kernel. The seeds are fixed, so a failure can be had again.

. "$(dirname "$0")/lib.sh"
load_module

seeds=$(scale 4 2)
count=$(scale 1500 250)
netns_add blue
sleep 1000 &
JOBS+=($!)
for ((seed = 1; seed <= seeds; seed++)); do
	from_tool "seed $seed: " timeout 600 python3 -S "$TOOLS/fuzz_rtnl.py" "$KIND" "$seed" "$count"
done
from_tool "in a child namespace: " ip netns exec blue timeout 600 python3 -S "$TOOLS/fuzz_rtnl.py" "$KIND" 99 "$count"
is "$(links_of -)$(links_of blue)" "" "nothing is left"

# Changes of a child by the root of its namespace: nothing of it reaches the port.
if unshare -Ur true 2>/dev/null; then
	unshare -Urn sleep 1000 &
	child_pid=$!
	JOBS+=("$child_pid")
	# Its namespaces are made, and who it is in them, when unshare has given way to it.
	wait_until 5 grep -qx sleep "/proc/$child_pid/comm"
	must ip link add given type "$KIND" shortcut route,output peer name c0 netns "$child_pid"
	from_tool "a child's root: " timeout 600 nsenter -t "$child_pid" -U -n \
		python3 -S "$TOOLS/fuzz_rtnl.py" "$KIND" 98 "$count" c0
	like "$(ip -d link show given)" "mtu 1500 .* port shortcut route,output spoofchk on" "a child's root: the port is as it was"
	must ip link del given
else
	skip "no user namespaces" "a child's root"
fi

# The type works as before.
child l3 red 1
ping_ok "a pair made afterwards works" - 10.0.1.2
reset_net
done_testing
