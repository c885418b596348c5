#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --leaks --timeout 1800
#
# The module: what modinfo says, loading by need, unloading under traffic, and
# that dozens of times of it, with shortcuts in use, leave nothing behind.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
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
# An outside host, blue with an l3 pair and red with an l2 pair, both in use by all
# shortcuts: their hooks, tables of flows, exits and sources are there. One of the
# two is deleted, by turns, the other one is left to rmmod: what only one way of
# ending, or one mode, loses is lost every other time.
# shellcheck disable=SC2317 # called by name
reload() { # NUMBER
	insmod "$PASSTHRU_KO" &&
		batch - "${pairs[@]}" && batch blue "${children[@]//N/1}" && batch red "${children[@]//N/2}" &&
		runs - p1 && runs - p2 && reached && short p1 && short p2 &&
		ip link del "p$((1 + $1 % 2))" &&
		rmmod passthru
}
pairs=("link add p1 type passthru mode l3 shortcut all peer name c0 netns blue"
	"link add p2 type passthru mode l2 shortcut all peer name c0 netns red")
for n in 1 2; do
	pairs+=("addr add 10.0.$n.1/24 dev p$n" "addr add fd00:$n::1/64 dev p$n nodad" "link set p$n up")
done
children=("addr add 10.0.N.2/24 dev c0" "addr add fd00:N::2/64 dev c0 nodad" "link set c0 up"
	"route add default via 10.0.N.1" "route add default via fd00:N::1")

# reached: packets from outside come to both children by IPv4 and IPv6, and back.
# shellcheck disable=SC2317 # called by name
reached() {
	local n pids=() pid status=0
	for n in 1 2; do
		answers outside "10.0.$n.2" & pids+=("$!")
		reached_by_ipv6 "fd00:$n::2" & pids+=("$!")
	done
	for pid in "${pids[@]}"; do wait "$pid" || status=1; done
	return "$status"
}

# reached_by_ipv6 ADDR: asks again until it answers, for a worker of the kernel's makes
# the child's local route after `ip` is done. Of those that are answered the first may
# come too early to be remembered.
# shellcheck disable=SC2317 # called by name
reached_by_ipv6() {
	wait_until "$PATIENCE" pings outside "$1" -W 1 && answers outside "$1" -c 3 -i 0.05
}

# short PORT: packets took shortcuts, both ways.
# shellcheck disable=SC2317 # called by name
short() {
	local counts
	counts=$(ethtool -S "$1")
	[[ $counts =~ rx_device:\ [1-9] && $counts =~ tx_output:\ [1-9] ]] && return
	echo "no shortcuts by $1: $counts"
	return 1
}

# bare: the module and a pair that nobody uses, for many times in little time.
# shellcheck disable=SC2317 # called by name
bare() { # NUMBER
	insmod "$PASSTHRU_KO" &&
		ip link add p1 type passthru mode "$([ $(($1 % 2)) = 0 ] && echo l3 || echo l2)" shortcut all peer name c0 netns blue &&
		ip link set p1 up && { [ $(($1 % 4)) -lt 2 ] || ip link del p1; } &&
		rmmod passthru
}

# cycles COUNT [FUNCTION]: what is judged after them stands on them, so that one
# which fails is the end of the test.
cycles() {
	local i out
	for ((i = 0; i < $1; i++)); do
		out=$("${2:-reload}" "$i" 2>&1) && continue
		result 1 "reload $((i + 1)) of $1" || diag "$out"
		rmmod passthru 2>/dev/null
		done_testing
	done
}

leak_world() {
	outside_host
	netns_add blue red
}

leak_world
if [ -n "${LAB_LEAKS:-}" ]; then
	cycles 47 bare
	cycles 3
	result 0 "50 reloads, 3 of them with shortcuts in use"
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
	succeeds "round $round: rmmod under traffic" timeout 300 rmmod passthru
	is "$(links_of - | grep -E '^p[0-9]')$(links_of blue)$(links_of red)$(links_of green)" "" "round $round: all devices are gone"
	reset_net
done

# --- Many times --------------------------------------------------------------
# Objects of a slab that are in use, after the kernel gave back what it can.
slabs() {
	local shrink
	sync
	echo 2 >/proc/sys/vm/drop_caches
	for shrink in /sys/kernel/slab/*/shrink; do echo 1 2>/dev/null >"$shrink"; done
	# vmap_area objects stay with the allocator after their area was freed, to be
	# used again; the areas themselves are counted instead. And what processes are
	# made of comes and goes with the test's own.
	awk 'NR > 2 && $1 !~ /^(vmap_area|vm_area_struct|anon_vma|anon_vma_chain|maple_node)$/ { print $1, $2 }' /proc/slabinfo
	echo "vmalloc $(grep -vc unpurged /proc/vmallocinfo)"
}

# grown COUNT: caches that grew by so many objects or more since "before", which is
# now from then on.
grown() {
	slabs >"$SCRATCH/after"
	awk -v n="$1" 'NR == FNR { had[$1] = $2; next } $2 - had[$1] >= n { print $1 }' "$SCRATCH/before" "$SCRATCH/after" | sort
	mv "$SCRATCH/after" "$SCRATCH/before"
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

# A counter is some bytes of per-CPU memory, of which /proc/meminfo counts whole
# pages only. So what is asked for and given back is traced: places from which
# COUNT pieces or more were asked for that nobody gave back. The module is one place:
# each time it is loaded elsewhere, and once it is gone its addresses have no names.
# Each process has some as well, until a CPU has let go of the memory of the last one
# it ran: a place is told of only if it lost some in every one of three turns.
TRACE=/sys/kernel/tracing
trace_percpu() {
	can_trace_drops # which mounts it
	echo 16384 >"$TRACE/buffer_size_kb"
} 2>/dev/null
lost_percpu() { # COUNT
	awk -v n="$1" '
		function field(key) { return match($0, " " key "=[^ ]*") ? substr($0, RSTART, RLENGTH) : "" }
		/percpu_alloc_percpu:/ { site = field("call_site"); by[field("ptr")] = site ~ /=0x/ ? "the module" : site }
		/percpu_free_percpu:/ { delete by[field("ptr")] }
		/percpu_alloc_percpu:/ && / call_site=0x/ { ours++ }
		END {
			for (ptr in by) lost[by[ptr]]++
			for (site in lost) if (lost[site] >= n) print site
			if (ours < n) print "nothing was traced"
		}
	' "$TRACE/trace" | sort
}
no_lost_percpu() { # TIMES NAME
	local losing now turn
	for turn in 1 2 3; do
		echo >"$TRACE/trace" && echo 1 >"$TRACE/events/percpu/enable"
		cycles "$1"
		echo 0 >"$TRACE/events/percpu/enable"
		now=$(lost_percpu $(($1 / 2)))
		[ "$turn" = 1 ] || now=$(comm -12 <(echo "$losing") <(echo "$now"))
		losing=$now
		[ -n "$losing" ] || break
	done
	is "$losing" "" "$2"
}

# no_growth TIMES FUNCTION NAME: after so many reloads, however often that is done.
no_growth() {
	local times=$1 how=$2 growing now turn
	cycles 5 "$how"
	# What grows once may be a cache of the kernel's filling, or rise and fall by
	# itself: a CPU keeps dozens of objects at hand, which count as in use. So each
	# turn is compared with the one before it: what grows by one every other time, in
	# every turn, is a leak.
	slabs >"$SCRATCH/before"
	for turn in 1 2 3 4 5 6; do
		cycles "$times" "$how"
		now=$(grown $((times / 2)))
		[ "$turn" = 1 ] || now=$(comm -12 <(echo "$growing") <(echo "$now"))
		growing=$now
		[ -n "$growing" ] || break
	done
	is "$growing" "" "$times reloads, $3: no slab cache grows"
}

leak_world
if [ -r /proc/slabinfo ] && [ "$(wc -l </proc/slabinfo)" -gt 10 ]; then
	fill_trackers "$(scale 0 60)"
	no_growth "$(scale 50 20)" bare "of a pair that nobody uses"
	# In the debug lab kmemleak has judged those.
	[ "$LAB" = debug ] || no_growth 16 reload "with shortcuts in use"
else
	cycles 50 bare
	skip "no slabinfo" "50 reloads: no slab cache grows"
fi
if trace_percpu; then
	times=$(scale 10 4)
	no_lost_percpu "$times" "$times reloads: all memory of single CPUs is given back"
else
	skip "no tracing" "reloads: all memory of single CPUs is given back"
fi
reset_net
done_testing
