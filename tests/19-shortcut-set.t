#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The set of shortcuts of a port, and the check of sources, as settings: who may
# change them, what they may be, who hears of it. What the shortcuts do is for the tests after this one.

. "$(dirname "$0")/lib.sh"
load_module

PARAMETER=/sys/module/passthru/parameters/shortcuts

# shown NS DEV: the list in `ip -d link show`; nothing for a device that has none.
shown() {
	ip_ns "$1" -d link show dev "$2" | sed -n 's/.*passthru .* shortcut \([^ ]*\) .*/\1/p'
}

# shown_json NS DEV: the list as JSON has it.
shown_json() {
	ip_ns "$1" -d -j link show dev "$2" | grep -o '"shortcut":\[[^]]*\]'
}

# holds NS PORT LIST NAME: both ways to show it agree.
holds() {
	local members=
	[ "$3" = none ] || members="\"${3//,/\",\"}\""
	is "$(shown "$1" "$2") $(shown_json "$1" "$2")" "$3 \"shortcut\":[$members]" "$4"
}

netns_add blue red

# What a set may be, at creation and in a change.
for list in none device route netfilter socket output route,socket device,netfilter device,route,netfilter,socket,output; do
	succeeds "add: $list" ip link add p0 type passthru shortcut "$list" peer name c0 netns blue
	holds - p0 "$list" "add: $list is shown"
	ip link del p0
done
must pair l3 p0 c0 blue
holds - p0 none "a port has none unless told otherwise"
is "$(shown blue c0)$(shown_json blue c0)" "" "the child device has no set to show"
for list in device route netfilter socket output route,output none; do
	succeeds "set: $list" ip link set p0 type passthru shortcut "$list"
	holds - p0 "$list" "set: $list is shown"
done
succeeds "set: all" ip link set p0 type passthru shortcut all
holds - p0 device,route,netfilter,socket,output "all is each of them"
succeeds "set: any order" ip link set p0 type passthru shortcut output,device,socket
holds - p0 device,socket,output "any order, with the last first"
must ip link set p0 type passthru shortcut socket,device
holds - p0 device,socket "any order is shown in one order"
succeeds "add: mode and shortcut, in l2" ip link add p1 type passthru shortcut route mode l2 peer name c1 netns blue
holds - p1 route "l2: shown"
like "$(ip -d link show p1)" "passthru mode l2 port shortcut route" "all of it in one line"
succeeds "ip -d -j link show is JSON" python3 -S -c 'import json, sys; json.loads(sys.argv[1])' "$(ip -d -j link show)"
ip link del p1

# Wrong words never get to the kernel.
fails_like "an unknown word" '"router" is wrong: shortcut must be none, all' ip link set p0 type passthru shortcut router
fails_like "an unknown word in a list" "device, route, netfilter, socket, output" ip link set p0 type passthru shortcut route,nonsense
fails_like "a word twice" "named twice" ip link set p0 type passthru shortcut route,socket,route
fails_like "none and something" "shortcut must be" ip link set p0 type passthru shortcut none,route
fails_like "an empty word" "shortcut must be" ip link set p0 type passthru shortcut route,
fails_like "no list" "not complete" ip link set p0 type passthru shortcut
fails_like "two lists" "duplicate" ip link set p0 type passthru shortcut route shortcut socket
fails_like "after peer" "before 'peer'" ip link add p1 type passthru peer name c1 shortcut route
like "$(ip link add type passthru help 2>&1)" "shortcut LIST" "the usage names it"
fails_like "the mode stays what it is" "Error: the mode of a pair cannot be changed after it was made" ip link set p0 type passthru mode l2 shortcut route
holds - p0 device,socket "nothing of it changed the set"

# Wrong numbers are the kernel's to refuse.
raw() { python3 -S "$TOOLS/set_shortcuts.py" "$@"; }
like "$(raw p0 0x20)" "^EINVAL unknown bit in the set of shortcuts$" "the first bit that has no meaning"
like "$(raw p0 0x80000002)" "^EINVAL unknown bit in the set of shortcuts$" "the last bit, beside one that has a meaning"
holds - p0 device,socket "the set is what it was"
is "$(raw p0 0x2)" "success " "a number that has a meaning"
holds - p0 route "the number's meaning"

# Who may: the namespace of the port. Through the child device, nobody.
refusal() { echo "$1 the parent's to set, at the port; this is the child device"; }
like "$(in_ns blue python3 -S "$TOOLS/set_shortcuts.py" c0 2)" "^EPERM $(refusal "shortcuts are")$" "the child's namespace: refused with a reason"
like "$(in_ns blue python3 -S "$TOOLS/set_shortcuts.py" c0 0)" "^EPERM $(refusal "shortcuts are")$" "the child's namespace: to the empty set too"
fails_like "the child's namespace, by ip" "Error: $(refusal "shortcuts are")" ip -n blue link set c0 type passthru shortcut all
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all)
fails_like "nobody" "not permitted" "${nobody[@]}" ip link set p0 type passthru shortcut none
holds - p0 route "the set is what it was before those tried"
if unshare -Ur true 2>/dev/null; then
	"${nobody[@]}" unshare -Urn sleep 1000 &
	child_pid=$!
	JOBS+=("$child_pid")
	# Its namespaces are made, and who it is in them, when unshare has given way to it.
	wait_until 5 grep -qx sleep "/proc/$child_pid/comm"
	must ip link add given type passthru shortcut socket peer name c0 netns "$child_pid"
	as_child=(nsenter -t "$child_pid" -U -n)
	fails_like "root of a user namespace, through the child device" "Error: $(refusal "shortcuts are")" "${as_child[@]}" ip link set c0 type passthru shortcut all
	fails_like "root of a user namespace cannot name the port" "Cannot find device" "${as_child[@]}" ip link set given type passthru shortcut all
	holds - given socket "the set is what it was before the child's root tried"
	succeeds "root of a user namespace: on a port of its own" \
		"${as_child[@]}" ip link add p0 type passthru shortcut route peer name c1
	like "$("${as_child[@]}" ip -d link show p0)" "port shortcut route" "... it is shown there"
	ip link del given
	# A port that was given away does not open the namespace that its child device is in.
	must ip link add port netns "$child_pid" type passthru shortcut route peer name host0
	open=(ip link set port type passthru shortcut)
	for list in none netfilter all; do
		fails_like "root of a user namespace, behind whose port another's namespace is: $list" \
			"Error: shortcuts take CAP_NET_ADMIN in the namespace of the child device too" "${as_child[@]}" "${open[@]}" "$list"
	done
	succeeds "... may ask for what there is" "${as_child[@]}" "${open[@]}" route
	succeeds "... and say what its child may send" "${as_child[@]}" ip link set port type passthru spoofchk off
	like "$("${as_child[@]}" ip -d link show port)" "port shortcut route spoofchk off" "... and that is so"
	succeeds "who is root in both may" nsenter -t "$child_pid" -n "${open[@]}" socket
	like "$("${as_child[@]}" ip -d link show port)" "port shortcut socket spoofchk off" "... and that is so, too"
	ip link del host0
else
	skip "no user namespaces" "user namespaces"
fi

# The check of sources is a setting of the same kind.
spoofchk() { # NS DEV: as shown, and as JSON has it
	echo "$(ip_ns "$1" -d link show dev "$2" | sed -n 's/.*passthru .* spoofchk \([a-z]*\) .*/\1/p')" \
		"$(link_value "$1" "$2" spoofchk)"
}
is "$(spoofchk - p0)" "on on" "spoofchk: on unless told otherwise"
is "$(spoofchk blue c0)" " " "spoofchk: the child device has none to show"
succeeds "spoofchk: off" ip link set p0 type passthru spoofchk off
is "$(spoofchk - p0)" "off off" "spoofchk: off is shown"
holds - p0 route "spoofchk: the set of shortcuts stays"
must ip link set p0 type passthru shortcut socket
is "$(spoofchk - p0)" "off off" "spoofchk: a new set of shortcuts leaves it alone"
succeeds "spoofchk: both in one request" ip link set p0 type passthru spoofchk on shortcut route
is "$(spoofchk - p0) $(shown - p0)" "on on route" "spoofchk: both are shown"
succeeds "spoofchk: at creation" ip link add p1 type passthru mode l2 spoofchk off peer name c1 netns blue
is "$(spoofchk - p1) $(shown - p1)" "off off none" "spoofchk: at creation, shown"
ip link del p1
fails_like "spoofchk: a wrong word" "must be on or off" ip link set p0 type passthru spoofchk 1
fails_like "spoofchk: twice" "duplicate" ip link set p0 type passthru spoofchk on spoofchk off
fails_like "spoofchk: after peer" "before 'peer'" ip link add p1 type passthru peer name c1 spoofchk off
for number in 2 0xffffffff; do
	like "$(raw p0 --spoofchk $number)" "^EINVAL spoofchk is 0 or 1$" "spoofchk: the number $number"
done
is "$(raw p0 --spoofchk 0) $(spoofchk - p0)" "success  off off" "spoofchk: a number that has a meaning"
must ip link set p0 type passthru spoofchk on
for number in 0 1; do
	like "$(in_ns blue python3 -S "$TOOLS/set_shortcuts.py" c0 --spoofchk $number)" "^EPERM $(refusal "spoofchk is")$" \
		"spoofchk: $number through the child device: refused with a reason"
done
fails_like "spoofchk: the child's namespace, by ip" "Error: $(refusal "spoofchk is")" ip -n blue link set c0 type passthru spoofchk off
fails_like "spoofchk: nobody" "not permitted" "${nobody[@]}" ip link set p0 type passthru spoofchk off
is "$(spoofchk - p0)" "on on" "spoofchk: it is what it was before those tried"

# Who hears of it: once for each change, whether the port is up or down.
monitored() { # LIST: changes p0, prints how many events named the new set
	local log=$SCRATCH/monitor
	ip -d monitor link dev p0 >"$log" 2>&1 &
	local monitor=$!
	# It listens when its socket has joined its groups.
	wait_until 10 sh -c "awk '\$3 == $monitor && \$4 != \"00000000\"' /proc/net/netlink | grep -q ."
	ip link set p0 type passthru shortcut "$1"
	wait_until 10 grep -q "shortcut $1 " "$log"
	sleep 0.2
	kill "$monitor"
	wait "$monitor" 2>/dev/null
	grep -c "shortcut $1 " "$log"
}
ip link set p0 down
is "$(monitored device,route)" 1 "ip monitor hears of a change while the port is down"
ip link set p0 up
is "$(monitored netfilter)" 1 "ip monitor hears of a change while the port is up"

# It is the port's wherever that goes.
must ip link set p0 netns red
holds red p0 netfilter "the set moves with the port"
succeeds "it is changed where the port is" ip -n red link set p0 type passthru shortcut route
holds red p0 route "... and shown there"
must ip -n red link set p0 name port0
holds red port0 route "a new name changes nothing"
must ip -n red link set port0 netns 1
must ip -n blue link set c0 netns red
holds - port0 route "the child may move too"
ip link del port0

# Changing it while packets pass, up and down, is nothing to them.
child l3 green 1
for _ in 1 2 3; do
	for list in all none device route netfilter output socket; do must ip link set p1 type passthru shortcut "$list"; done
done
ping_ok "the pair works after changes of all kinds" - 10.0.1.2

# The default for new ports, and only for those that say nothing.
is "$(cat $PARAMETER)" none "the parameter's default"
for list in route,socket all none netfilter; do
	succeeds "parameter: $list" sh -c "echo $list >$PARAMETER"
	must pair l3 p0 c0 blue
	want=$list
	[ "$list" = all ] && want=device,route,netfilter,socket,output
	holds - p0 "$want" "parameter: a new port has $list"
	is "$(cat $PARAMETER)" "$want" "parameter: $list is read back"
	ip link del p0
done
must ip link add p0 type passthru shortcut socket peer name c0 netns blue
holds - p0 socket "a request that names a set has its own"
holds - p1 socket "ports that are there keep theirs"
ip link del p0
for wrong in nonsense route,route none,all "route," ''; do
	fails_like "parameter: \"$wrong\" is refused" "Invalid" bash -c "echo '$wrong' >$PARAMETER"
done
is "$(cat $PARAMETER)" netfilter "a wrong word changes nothing"
like "$(dmesg)" 'passthru: unknown shortcut \\?"nonsense\\?"' "the kernel's log names the wrong word"
like "$(modinfo "$PASSTHRU_KO")" "parm: +shortcuts:" "modinfo describes the parameter"

# The same when the module is loaded.
reset_net
must rmmod passthru
succeeds "insmod with a default" insmod "$PASSTHRU_KO" shortcuts=route,socket
must ip link add p0 type passthru
holds - p0 route,socket "insmod: a new port has it"
must rmmod passthru
fails_like "insmod with a wrong word" "[Ii]nvalid" insmod "$PASSTHRU_KO" shortcuts=route,rubbish
like "$(dmesg)" 'unknown shortcut \\?"rubbish\\?"' "insmod: the kernel's log names the wrong word"
fails "insmod: nothing is loaded" grep -q '^passthru ' /proc/modules
fails_like "insmod without a value" "[Ii]nvalid" insmod "$PASSTHRU_KO" shortcuts
must insmod "$PASSTHRU_KO"

done_testing
