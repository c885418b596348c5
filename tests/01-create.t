#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --cpus 1
#
# Creation in every syntax that `ip link` accepts for veth, with the plugin and
# without it, and what `ip` shows of the result.

. "$(dirname "$0")/lib.sh"
load_module

# end_of NS DEV: kind, mode, role, own index and the peer's index, one line.
end_of() {
	local json
	json=$(ip_ns "$1" -d -j link show dev "$2")
	echo "$(json_value "$json" info_kind)" "$(json_value "$json" mode)" "$(json_value "$json" role)" \
		"$(in_ns "$1" cat "/sys/class/net/$2/ifindex" "/sys/class/net/$2/iflink" | xargs)"
}

shown() { # NS DEV KEY...: values of what ip shows, one line
	local json key values=()
	json=$(ip_ns "$1" -d -j link show dev "$2")
	for key in "${@:3}"; do values+=("$(json_value "$json" "$key")"); done
	echo "${values[*]}"
}

ifindex() { # NS DEV
	in_ns "$1" cat "/sys/class/net/$2/ifindex"
}

# is_pair NAME NS PORT NS CHILD MODE: one pair, seen from both of its ends.
is_pair() {
	local port child
	read -ra port <<<"$(end_of "$2" "$3")"
	read -ra child <<<"$(end_of "$4" "$5")"
	is "${port[*]:0:3}" "$KIND $6 port" "$1: the port"
	is "${child[*]:0:3}" "$KIND $6 child" "$1: the child"
	is "${port[*]:3:2}" "${child[4]:-?} ${child[3]:-?}" "$1: each is the other's link"
}

# makes NS PORT NS CHILD MODE IP-ARG...: an `ip` command that makes this pair.
makes() {
	local where=("${@:1:4}") mode=$5
	shift 5
	succeeds "ip $*" ip "$@" && is_pair "ip $*" "${where[@]}" "$mode"
	ip_ns "${where[0]}" link del "${where[1]}"
	no_link "${where[2]}" "${where[3]}"
	result $? "ip $*: the child goes with its port"
}

netns_add blue red

makes - p0 blue c0 l3 link add p0 type "$KIND" peer name c0 netns blue
makes - p0 - c0 l3 link add p0 type "$KIND" peer c0
makes - p0 blue c0 l3 link add p0 type "$KIND" peer netns blue name c0
makes - p0 blue c0 l3 link add p0 type "$KIND" peer c0 netns blue
makes - p0 blue c0 l3 link add name p0 type "$KIND" peer name c0 netns blue
makes - p0 blue c0 l3 link add dev p0 type "$KIND" peer dev c0 netns blue
makes - p0 blue p0 l3 link add p0 type "$KIND" peer name p0 netns blue
makes - p0 blue c0 l3 link add p0 type "$KIND" mode l3 peer name c0 netns blue
makes - p0 blue c0 l2 link add p0 type "$KIND" mode l2 peer name c0 netns blue
makes - p0 blue c0 l2 link add p0 type "$KIND" mode l2 peer netns blue c0
makes blue p0 red c0 l3 link add p0 netns blue type "$KIND" peer name c0 netns red
makes blue p0 red c0 l3 -n blue link add p0 type "$KIND" peer name c0 netns red
makes blue p0 blue c0 l2 -n blue link add p0 type "$KIND" mode l2 peer name c0
# A child that is described, but for its namespace, is in that of the request.
makes blue p0 - c0 l3 link add p0 netns blue type "$KIND" peer name c0
makes - p0 blue c0 l3 link add p0 link-netns blue type "$KIND" peer name c0

sleep 1000 &
JOBS+=($!)
ip netns attach green "$!"
makes - p0 green c0 l3 link add p0 type "$KIND" peer name c0 netns "$!"
makes - p0 green c0 l3 link add p0 type "$KIND" peer name c0 netns "/proc/$!/ns/net"

# Names that the kernel completes.
succeeds "names with a number to be found" ip link add p%d type "$KIND" peer name c%d netns blue
is_pair "the first" - p0 blue c0 l3
succeeds "names with a number to be found, again" ip link add p%d type "$KIND" peer name c%d netns blue
is_pair "the second" - p1 blue c1 l3
ip link del p0
ip link del p1

# Without names the kernel finds them.
succeeds "no peer at all" ip link add p0 type "$KIND"
made=$(links_of - | grep -v '^p0$')
is "$(wc -w <<<"$made")" 1 "no peer at all: the child has a name of the kernel's"
is_pair "no peer at all" - p0 - "$made" l3
ip link del p0
is "$(links_of -)" "" "no peer at all: both are gone"

succeeds "no peer, the port elsewhere" ip link add p0 netns blue type "$KIND"
made=$(links_of blue | grep -v '^p0$')
is_pair "no peer, the port elsewhere: the child is with it" blue p0 blue "$made" l3
ip -n blue link del p0

# Another name for a namespace: for a child whose description names none.
must ip netns set red 7
makes - p0 red c0 l3 link add p0 link-netnsid 7 type "$KIND" peer name c0
makes - p0 blue c0 l3 link add p0 link-netnsid 7 type "$KIND" peer name c0 netns blue

succeeds "no name at all" ip link add type "$KIND"
is "$(links_of - | wc -l)" 2 "no name at all: two devices"
# shellcheck disable=SC2046 # a list of names
is "$(for dev in $(links_of -); do link_value - "$dev" role; done | sort | xargs)" "child port" \
	"no name at all: a port and a child"
succeeds "no name at all: deleted by its first device" ip link del "$(links_of - | head -n 1)"
is "$(links_of -)" "" "no name at all: both are gone"

succeeds "a name for the child only" ip link add type "$KIND" peer name c0
succeeds "a name for the child only: it is there" has_link - c0
ip link del c0
is "$(links_of -)" "" "deleting the child deletes the port"

# Attributes of both ends, before and behind "type".
succeeds "attributes of both ends" \
	ip link add p0 index 1001 mtu 1400 txqueuelen 77 numtxqueues 3 numrxqueues 2 up \
	type "$KIND" mode l2 peer name c0 index 1002 mtu 1300 txqueuelen 55 numtxqueues 4 numrxqueues 5 netns blue up
is "$(ifindex - p0) $(ifindex blue c0)" "1001 1002" "both indexes"
is "$(link_value - p0 mtu) $(link_value blue c0 mtu)" "1400 1300" "both MTUs"
is "$(link_value - p0 txqlen) $(link_value blue c0 txqlen)" "77 55" "both queue lengths"
is "$(link_value - p0 num_tx_queues) $(link_value - p0 num_rx_queues)" "3 2" "the port's queues"
is "$(link_value blue c0 num_tx_queues) $(link_value blue c0 num_rx_queues)" "4 5" "the child's queues"
eventually 5 "both up: the port runs" equals UP link_value - p0 operstate
eventually 5 "both up: the child runs" equals UP link_value blue c0 operstate
ip link del p0

succeeds "groups and sizes of both ends" \
	ip link add p0 group 7 gso_max_size 30000 gso_max_segs 100 gro_max_size 50000 \
	type "$KIND" peer name c0 group 8 gso_max_size 40000 gso_max_segs 200 netns blue
is "$(shown - p0 group gso_max_size gso_max_segs gro_max_size)" "7 30000 100 50000" "the port's"
is "$(shown blue c0 group gso_max_size gso_max_segs gro_max_size)" "8 40000 200 65536" "the child's"
ip link del p0

ip link add br0 type bridge
succeeds "a bridge from the start" ip link add p0 master br0 type "$KIND" mode l2 peer name c0 netns blue
is "$(shown - p0 master)" br0 "the port is a part of it"
fails_like "a bridge from the start, in mode l3" "Invalid argument" ip link add p1 master br0 type "$KIND" mode l3 peer name c1 netns blue
is "$(links_of - | xargs) $(links_of blue)" "br0 p0 c0" "nothing was made of that"
ip link del p0
ip link del br0

succeeds "addresses of both ends" \
	ip link add p0 address 02:00:00:00:00:01 type "$KIND" mode l2 peer name c0 address 02:00:00:00:00:02 netns blue
is "$(link_value - p0 address) $(link_value blue c0 address)" "02:00:00:00:00:01 02:00:00:00:00:02" "both addresses"
ip link del p0

pair l2 p0 c0 blue
pair l2 p1 c1 blue
addresses=$(for dev in p0 p1; do link_value - "$dev" address; done; for dev in c0 c1; do link_value blue "$dev" address; done)
is "$(sort -u <<<"$addresses" | wc -l)" 4 "l2: each end has an address of its own"
is "$(grep -c '^.[26ae]:' <<<"$addresses")" 4 "l2: they are local unicast addresses"
ip link del p1

# Who gave names and addresses, as udev asks, is what it is of veth: 1 for the kernel, 3 for
# a user, 4 for a user who renamed it; an address that is none is nobody's.
assigned() { # NS DEV: name, address
	in_ns "$1" cat "/sys/class/net/$2/name_assign_type" "/sys/class/net/$2/addr_assign_type" | xargs
}
# givers WANT-L2 WANT-L3 PORT CHILD [IP-ARG...]: of a port and its child
givers() {
	local kind want=$1 first=$3 second=$4
	for kind in veth "$KIND mode l2" "$KIND mode l3"; do
		[ "$KIND" != veth ] || kind=veth
		[ "$kind" != "$KIND mode l3" ] || want=$2
		# shellcheck disable=SC2086 # words
		must ip link add $5 type $kind ${6-}
		is "$(assigned - "$first"), $(assigned - "$second")" "$want" "$kind: who gave names and addresses: ip link add $5 type $kind ${6-}"
		ip link del "$first"
	done
}
givers "3 1, 3 1" "3 0, 3 0" g0 h0 g0 "peer name h0"
givers "3 1, 3 1" "3 0, 3 0" g0 h0 g%d "peer name h%d"
must ip link add g0 type "$KIND" mode l2 peer name h0
must ip link set h0 name i0
is "$(assigned - i0)" "4 1" "who gave names and addresses: a user who renamed it"
must ip link set i0 address 02:00:00:00:00:09
is "$(assigned - i0)" "4 3" "who gave names and addresses: a user who set them"
ip link del g0

# What ip says, and renaming.
like "$(ip -d link show p0)" "$KIND mode l2 port" "ip -d link show: the port"
like "$(ip -n blue -d link show c0)" "$KIND mode l2 child" "ip -d link show: the child"
succeeds "ip -d -j link show is JSON" python3 -S -c 'import json, sys; json.loads(sys.argv[1])' "$(ip -d -j link show)"
# The words that scripts go by.
keys='import json, sys
for text in sys.argv[1:]:
    info = json.loads(text)[0]["linkinfo"]
    print(info["info_kind"], info["info_data"]["mode"], info["info_data"]["role"])'
is "$(python3 -S -c "$keys" "$(ip -d -j link show p0)" "$(ip -n blue -d -j link show c0)" | xargs)" "$KIND l2 port $KIND l2 child" \
	"ip -d -j link show: info_kind, and mode and role in info_data"
is "$(ip -br link show type "$KIND" | wc -l)" 1 "ip link show type $KIND lists the port"
ip link set p0 up
succeeds "rename, the device up" ip link set p0 name first
succeeds "rename the child" ip -n blue link set c0 name eth0
is_pair "after renaming" - first blue eth0 l2
like "$(ip link help "$KIND" 2>&1)" "mode .*l2.*l3|mode .*l3.*l2" "ip link help $KIND names the modes"
like "$(ip link add type "$KIND" help 2>&1)" "peer" "ip link add type $KIND help names the peer"
fails "the plugin refuses an unknown mode" ip link add bad type "$KIND" mode l4
fails_like "the plugin says where mode goes" "mode goes before 'peer'" ip link add bad type "$KIND" peer name bad1 mode l2
fails "the plugin refuses an unknown word" ip link add bad type "$KIND" nonsense
fails "the plugin refuses a mode without a word" ip link add bad type "$KIND" mode
no_link - bad
result $? "nothing was made of them"
ip link del first

# An `ip` that has no plugin can do all that needs no words of ours.
plain_ip() {
	IP_LIB_DIR=/nonexistent ip "$@"
}
succeeds "without the plugin: add" plain_ip link add p0 type "$KIND"
like "$(plain_ip -d link show p0)" "$KIND" "without the plugin: show"
succeeds "without the plugin: delete" plain_ip link del p0
is "$(links_of -)" "" "without the plugin: both are gone"

done_testing
