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
	from_tool "seed $seed: " timeout 200 python3 -S "$TOOLS/fuzz_rtnl.py" "$KIND" "$seed" "$count"
done
from_tool "in a child namespace: " ip netns exec blue timeout 200 python3 -S "$TOOLS/fuzz_rtnl.py" "$KIND" 99 "$count"
is "$(links_of -)$(links_of blue)" "" "nothing is left"

# The type works as before.
child l3 red 1
ping_ok "a pair made afterwards works" - 10.0.1.2
reset_net
done_testing
