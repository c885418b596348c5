#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --cpus 1
#
# Wrong requests: each refused with its errno and an explanation, none leaves
# half a pair; and what a user without rights over a namespace cannot do there.

. "$(dirname "$0")/lib.sh"
load_module

everything() { # all devices of all our namespaces
	local ns
	for ns in - blue red; do echo "$ns: $(links_of "$ns" | xargs)"; done
}

netns_add blue red
must ip link add taken type "$KIND" peer name taken_c
must ip -n blue link add other type dummy
before=$(everything)
from_tool "" python3 -S "$TOOLS/wrong_requests.py" "$KIND"
is "$(everything)" "$before" "no device is left over"

# The same by ip: what a person would meet.
fails_like "ip: the peer's name exists in its namespace" "the name of the child is taken" ip link add bad type "$KIND" peer name other netns blue
fails_like "ip: the port's name exists" "File exists" ip link add taken type "$KIND" peer name c9 netns blue
fails_like "ip: no such namespace" "netns" ip link add bad type "$KIND" peer name c9 netns nowhere
fails_like "ip: another mode on a living device" "mode" ip link set taken type "$KIND" mode l2
fails "ip: a device of another kind is not changed as ours" ip -n blue link set other type "$KIND" mode l2
is "$(everything)" "$before" "no device is left over by ip"

# Without rights.
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all)
fails_like "nobody: cannot create" "not permitted" "${nobody[@]}" ip link add bad type "$KIND"
fails_like "nobody: cannot delete" "not permitted" "${nobody[@]}" ip link del taken
fails_like "nobody: cannot change" "not permitted" "${nobody[@]}" ip link set taken mtu 1400
succeeds "nobody: can look" "${nobody[@]}" ip -d link show taken
is "$(everything)" "$before" "nothing of it happened"

# Root of a user namespace is root over its own network namespace only.
if unshare -Ur true 2>/dev/null; then
	inside=("${nobody[@]}" unshare -Urn)
	sleep 1000 &
	parent_pid=$!
	JOBS+=("$parent_pid")
	succeeds "user namespace: a pair of its own" "${inside[@]}" ip link add p0 type "$KIND" peer name c0
	fails_like "user namespace: no child in the parent's namespace" "not permitted|No such process|Invalid" \
		"${inside[@]}" ip link add p0 type "$KIND" peer name c0 netns "$parent_pid"
	fails_like "user namespace: no port in the parent's namespace" "not permitted|No such process|Invalid" \
		"${inside[@]}" ip link add p0 netns "$parent_pid" type "$KIND" peer name c0
	is "$(everything)" "$before" "user namespace: the parent has no new device"

	# A child in a user namespace with a pair that the parent gave it.
	"${inside[@]}" sleep 1000 &
	child_pid=$!
	JOBS+=("$child_pid")
	# Its namespaces are made, and who it is in them, when unshare has given way to it.
	wait_until 5 grep -qx sleep "/proc/$child_pid/comm"
	must ip link add given type "$KIND" peer name c0 netns "$child_pid"
	as_child=(nsenter -t "$child_pid" -U -n)
	succeeds "user namespace: the child may configure its end" "${as_child[@]}" ip link set c0 up mtu 1400
	fails_like "user namespace: the child cannot move its end to the parent" "not permitted|No such process|Invalid" \
		"${as_child[@]}" ip link set c0 netns "$parent_pid"
	fails "user namespace: the child cannot name the port" "${as_child[@]}" ip link set given down
	ip link del given
else
	skip "no user namespaces" "user namespaces"
fi
reset_net

done_testing
