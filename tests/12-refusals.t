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
	for ns in - blue red green; do echo "$ns: $(links_of "$ns" | xargs)"; done
}

netns_add blue red green
must ip link add taken type "$KIND" peer name taken_c
must ip -n blue link add other type dummy
before=$(everything)
from_tool "" python3 -S "$TOOLS/wrong_requests.py" "$KIND"
is "$(everything)" "$before" "no device is left over"

# The same by ip: what a person would meet.
fails_like "ip: the peer's name exists in its namespace" "Error: the name of the child is taken" ip link add bad type "$KIND" peer name other netns blue
fails_like "ip: the port's name exists" "answers: File exists" ip link add taken type "$KIND" peer name c9 netns blue
fails_like "ip: no such namespace" 'nowhere.*[Ii]nvalid "netns" value' ip link add bad type "$KIND" peer name c9 netns nowhere
fails_like "ip: another mode on a living device" "Error: the mode of a pair cannot be changed after it was made" \
	ip link set taken type "$KIND" mode l2
fails_like "ip: a device of another kind is not changed as ours" "answers: Operation not supported" \
	ip -n blue link set other type "$KIND" mode l2
fails_like "ip: a master for the peer" "Error: peer info has an attribute that no device is made with; set it afterwards" \
	ip link add bad type "$KIND" peer name c9 master taken
fails_like "ip: a broadcast address in mode l3" "Error: devices in mode l3 have no broadcast address" \
	ip link add bad broadcast ff:ff:ff:ff:ff:ff type "$KIND" mode l3
is "$(everything)" "$before" "no device is left over by ip"

# Where a namespace has as many hooks at a place as the kernel takes, 1024, no
# shortcut finds room: the set is what it was, and so are all hooks.
ours() { # NS...: how many hooks of the module there are
	local ns
	for ns; do
		in_ns "$ns" nft list hooks
		in_ns "$ns" nft list hooks netdev device lo
		[ "$ns" != - ] || nft list hooks netdev device uplink
	done 2>/dev/null | grep -c "\[passthru\]"
}
# shellcheck disable=SC2317 # called by name
fill() { # NS FAMILY PLACE
	local number
	{
		echo "table $2 full {"
		for ((number = 0; number < 1024; number++)); do
			echo "chain c$number { type filter hook $3 priority 100; }"
		done
		echo "}"
	} >"$SCRATCH/full"
	in_ns "$1" nft -f "$SCRATCH/full"
}
shown() { # PORT
	ip -d link show dev "$1" | sed -n 's/.* shortcut \([^ ]*\) .*/\1/p'
}
must ip link add uplink type dummy
child l3 green 3
before=$(everything)
# A thousand chains take the debug kernel a minute.
places=("- ip6 prerouting" "green ip output")
[ "$LAB" = debug ] || places+=("- ip prerouting" "- ip6 input" "green ip6 output")
for where in "${places[@]}"; do
	read -r ns family place <<<"$where"
	name="no room at $place of $family"
	if [ "$ns" != - ]; then
		# What a child has of its own is no reason to refuse the parent anything.
		must ip link set p3 type "$KIND" shortcut none
		must fill "$ns" "$family" "$place"
		succeeds "$name: a change is not the child's to refuse" ip link set p3 type "$KIND" shortcut all
		ping_ok "$name: the pair works, with shortcuts" - 10.0.3.2
		must ip link set p3 type "$KIND" shortcut none
		is "$(ours - green)" 0 "$name: no hook is left over"
		must in_ns "$ns" nft delete table "$family" full
		continue
	fi
	old=none
	[ "$where" != "- ip6 prerouting" ] || old=device
	must ip link set p3 type "$KIND" shortcut "$old"
	hooks=$(ours - green)
	must fill "$ns" "$family" "$place"
	fails_like "$name: a change is refused" "Error: cannot set the shortcuts" ip link set p3 type "$KIND" shortcut all
	is "$(shown p3), $(ours - green) hooks" "$old, $hooks hooks" "$name: set and hooks are the old ones"
	for other in device output; do
		must ip link set p3 type "$KIND" shortcut "$other"
		hooks=$(ours - green)
		fails_like "$name: another set than $other is refused" "Error: cannot set the shortcuts" \
			ip link set p3 type "$KIND" shortcut netfilter
		is "$(shown p3), $(ours - green) hooks" "$other, $hooks hooks" "$name: of $other nothing is lost"
	done
	must ip link set p3 type "$KIND" shortcut "$old"
	hooks=$(ours - green)
	fails_like "$name: a creation is refused" "Error: cannot set the shortcuts" \
		ip link add bad type "$KIND" shortcut all peer name c9 netns green
	is "$(everything), $(ours - green) hooks" "$before, $hooks hooks" "$name: neither a device nor a hook is left"
	ping_ok "$name: the pair works" - 10.0.3.2
	must in_ns "$ns" nft delete table "$family" full
	succeeds "$name: there is room" ip link set p3 type "$KIND" shortcut all
	ping_ok "$name: the pair works, with shortcuts" - 10.0.3.2
done
must ip link set p3 type "$KIND" shortcut all
if nft list hooks 2>/dev/null | grep -q hook; then
	isnt "$(ours - green)" 0 "hooks are seen where there are any"
else
	skip "this kernel does not list hooks" "hooks are seen where there are any"
fi
must ip link set p3 type "$KIND" shortcut none
is "$(ours - green)" 0 "no hook is left over"
must ip link del p3
must ip link del uplink
before=$(everything)

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
	succeeds "user namespace: a pair of its own" "${inside[@]}" ip link add p0 type "$KIND" peer name c0
	# The parent's namespace, by a number of a process in it and by a file that was
	# left open: ip would not even get so far as to ask the kernel.
	exec 9</proc/self/ns/net
	outside=(python3 -S "$TOOLS/wrong_requests.py" "$KIND" --parent $$ 9)
	from_tool "user namespace: " "${inside[@]}" "${outside[@]}"
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
	from_tool "user namespace: with a child: " "${as_child[@]}" "${outside[@]}"
	exec 9<&-
	fails_like "user namespace: the child cannot name the port" "Cannot find device" "${as_child[@]}" ip link set given down
	ip link del given
else
	skip "no user namespaces" "user namespaces"
fi
reset_net

done_testing
