#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --leaks
#
# The module: what modinfo says, loading by need, unloading under traffic, and
# that fifty times of it leave nothing behind.

. "$(dirname "$0")/lib.sh"
if [ "$KIND" != passthru ]; then skip_all "it is about passthru.ko"; fi

# --- modinfo -----------------------------------------------------------------
field() {
	modinfo -F "$1" "$PASSTHRU_KO"
}
is "$(field license)" GPL "modinfo: license"
is "$(field name)" passthru "modinfo: name"
like "$(field author)" "[A-Za-z]" "modinfo: author"
like "$(field description)" "[A-Za-z]" "modinfo: description"
is "$(field alias)" rtnl-link-passthru "modinfo: alias"

# --- Loading by need ---------------------------------------------------------
loaded() { grep -q '^passthru ' /proc/modules; }
! loaded
result $? "not loaded at first"
fails_like "not installed: the link type is unknown" "Unknown device type" ip link add p0 type passthru
where=/lib/modules/$(uname -r)/updates
mkdir -p "$where"
cp "$PASSTHRU_KO" "$where/"
must depmod
succeeds "installed: ip link add loads it" ip link add p0 type passthru peer name c0
loaded
result $? "it is loaded"
is "$(link_value - p0 info_kind)" passthru "the device is there"
ip link del p0
succeeds "modprobe -r" modprobe -r passthru
succeeds "modprobe" modprobe passthru
fails "loaded twice" insmod "$PASSTHRU_KO"
succeeds "rmmod" rmmod passthru
rm "$where/passthru.ko"
must depmod
fails_like "the type went with the module" "Unknown device type" ip link add p0 type passthru

# --- Leaks -------------------------------------------------------------------
cycles() { # COUNT
	local i
	for ((i = 0; i < $1; i++)); do
		insmod "$PASSTHRU_KO" || return 1
		ip link add p0 type passthru mode l2 peer name c0 netns blue
		ip link set p0 up
		ip -n blue link set c0 up
		[ $((i % 2)) = 0 ] && ip link del p0
		rmmod passthru || return 1
	done
}

netns_add blue
if [ -n "${LAB_LEAKS:-}" ]; then
	succeeds "fifty reloads" cycles "$(scale 10 50)"
	no_leaks
fi
reset_net

# --- Unloading while it is used ----------------------------------------------
busy() { # pairs in both modes, in use by all that can use them
	insmod "$PASSTHRU_KO"
	child l3 blue 1
	child l2 red 2
	netns_add green
	must ip -n blue link add inner type passthru peer name c0 netns green
	ip link add br0 type bridge
	pair l2 p3 c3 red
	must ip link set p3 master br0
	must ip -n red link add link c0 name v7 type vlan id 7
	forwarding_on -
	capture - p1 "$SCRATCH/tap.pcap"
	iperf_server blue
	background - iperf3 -c 10.0.1.2 -t 300 >/dev/null 2>&1
	for to in "- 10.0.1.2" "- fd00:2::2" "blue 10.0.2.2" "red fd00:1::2"; do
		background "${to% *}" python3 -S "$TOOLS/udp.py" flood "${to#* }" 9
	done
	wait_until 10 at_least 200 counter blue c0 rx packets
}
for ((round = 1; round <= $(scale 3 2); round++)); do
	busy
	result $? "round $round: traffic flows"
	between "$(awk '$1 == "passthru" { print $3 }' /proc/modules)" 0 1000 "round $round: a use count that can be read"
	succeeds "round $round: rmmod under traffic" timeout 60 rmmod passthru
	is "$(links_of - | grep -E '^p[0-9]')$(links_of blue)$(links_of red)$(links_of green)" "" "round $round: all devices are gone"
	reset_net
done

# --- Fifty times -------------------------------------------------------------
# Objects of a slab that are in use, after the kernel gave back what it can.
slabs() {
	local shrink
	sync
	echo 2 >/proc/sys/vm/drop_caches
	for shrink in /sys/kernel/slab/*/shrink; do echo 1 2>/dev/null >"$shrink"; done
	# vmap_area objects stay with the allocator after their area was freed, to be
	# used again; the areas themselves are counted instead.
	awk 'NR > 2 && $1 != "vmap_area" { print $1, $2 }' /proc/slabinfo
	echo "vmalloc $(grep -vc unpurged /proc/vmallocinfo)"
	awk '$1 == "Percpu:" { print "percpu-pages", int($2 / 4) }' /proc/meminfo
}

# grown COUNT TURN: caches that grew by an object or more each time, in all turns
# of so many since "before"
grown() {
	cycles "$1" || echo "cycle failed"
	slabs >"$SCRATCH/after"
	awk -v n=$(($1 * $2)) 'NR == FNR { had[$1] = $2; next } $2 - had[$1] >= n { print $1 }' "$SCRATCH/before" "$SCRATCH/after" | sort
}

# The debug kernel's trackers of references keep the last hundreds of those that
# were given back, whoever had them: fill that first, with a device that is not ours.
fill_trackers() { # COUNT
	local i
	for ((i = 0; i < $1; i++)); do
		ip link add f0 type veth peer name f1 netns blue
		ip link set f0 up
		ip -n blue link set f1 up
		ip link del f0
	done
}

netns_add blue
if [ -r /proc/slabinfo ] && [ "$(wc -l </proc/slabinfo)" -gt 10 ]; then
	fill_trackers "$(scale 0 60)"
	cycles 5
	# What grows once may be a cache of the kernel's filling, or rise and fall by
	# itself: a CPU keeps dozens of objects at hand, which count as in use. What grows
	# by one each time, however often that is tried, is a leak.
	times=$(scale 50 20)
	slabs >"$SCRATCH/before"
	growing=$(grown "$times" 1)
	for turn in 2 3 4; do
		[ -n "$growing" ] || break
		growing=$(comm -12 <(echo "$growing") <(grown "$times" "$turn"))
	done
	is "$growing" "" "$times reloads: no slab cache grows"
else
	succeeds "fifty reloads" cycles 50
	skip "no slabinfo" "fifty reloads: no slab cache grows"
fi
reset_net
done_testing
