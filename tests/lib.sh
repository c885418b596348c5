#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What every test stands on: namespaces, pairs, traffic and counters.
# A test sources this file, calls load_module, checks, and ends with
# done_testing. It runs as root in a kernel of its own, so it may change
# anything; it only has to leave the kernel without a complaint.

set -u
export LC_ALL=C

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOOLS=$TESTS/tools
SCRATCH=$(mktemp -d)
LAB=${LAB:-stock}
# The link type under test. veth and netkit are what it is compared with when a
# test itself is in doubt; dummy must make nearly every check fail.
KIND=${KIND:-passthru}

JOBS=()

# shellcheck source=tests/tap.sh
. "$TESTS/tap.sh"

# --- The kernel --------------------------------------------------------------

load_module() {
	if [ "$KIND" = passthru ]; then
		insmod "${PASSTHRU_KO:?path of passthru.ko}" && return
	else
		can_load "$KIND"
		return
	fi
	echo "Bail out! cannot load $KIND"
	exit 1
}

# can_load MODULE: true when the kernel has it, as a module or built in.
can_load() {
	modprobe -q "$1" 2>/dev/null || [ -d "/sys/module/$1" ]
}

# The names of network devices with hardware behind them.
cards() {
	local dev
	for dev in /sys/class/net/*/device; do
		[ -e "$dev" ] && basename "$(dirname "$dev")"
	done
}

# shellcheck disable=SC2317 # called by name
two_cards() { [ "$(cards | wc -l)" -ge 2 ]; }

# can_link KIND...: true when the kernel has that kind of link.
can_link() {
	can_load "$1"
	ip link add probe0 type "$@" 2>/dev/null && ip link del probe0
}

# scale COUNT DEBUG_COUNT: the debug kernel is an order of magnitude slower.
scale() {
	if [ "$LAB" = debug ]; then echo "$2"; else echo "$1"; fi
}

# Longest time until something has happened; a CPU of a guest on a busy machine
# may stand still for seconds.
PATIENCE=30

# What the kernel says when something is broken inside it. "unregister_netdevice:
# waiting" is the sign of a reference to a device that nobody gives back.
SPLAT='WARNING:|BUG:|Oops|KASAN|UBSAN|INFO: (possible|suspicious|task|rcu|trying)|turning off the locking|refcount_t|ref_tracker: .* has [0-9]|unregister_netdevice: waiting|possible recursive locking|Unloaded tainted|general protection|kernel panic'

kernel_log_clean() {
	local splats
	# From where the lab began the command: what the kernel said of its own
	# boot is not this test's doing. The mark may have scrolled away.
	splats=$(dmesg | awk '{ log_ = log_ $0 "\n" } /lab: command starts/ { log_ = "" } END { printf "%s", log_ }' |
		grep -E "$SPLAT" | head -n 20)
	[ -z "$splats" ]
	result $? "kernel log is clean" || diag "$splats"
}

# no_leaks: asks kmemleak, in a guest that was booted to judge leaks ("# lab:
# --leaks"), once: by itself at the end of a test, or before where a test says so,
# because kmemleak is off from then on, and without it the kernel is three times
# as fast. An object must look lost in two scans before it is one.
no_leaks() {
	local leak=/sys/kernel/debug/kmemleak judged=${OUT:-$SCRATCH}/.kmemleak
	[ -n "${LAB_LEAKS:-}" ] && ! [ -e "$judged" ] || return 0
	if ! echo scan 2>/dev/null >"$leak"; then
		skip "kernel has no kmemleak" "kmemleak finds nothing"
		return
	fi
	sleep 6 # objects younger than 5 s are not reported
	echo scan >"$leak"
	# The lab need not ask again.
	cp "$leak" "$judged"
	is "$(head -n 40 "$judged")" "" "kmemleak finds nothing"
	echo off >"$leak"
}

# --- Waiting -----------------------------------------------------------------

# wait_until SECONDS CMD...: polls; the bound is stretched in the debug lab.
wait_until() {
	local end=$((SECONDS + $(scale $((3 * $1)) $((6 * $1)))))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -ge "$end" ] && return 1
		sleep 0.05
	done
}

eventually() { # SECONDS NAME CMD...
	local seconds=$1 name=$2
	shift 2
	wait_until "$seconds" "$@"
	result $? "$name" || diag "not within $seconds s: $*" $'\n'"$("$@" 2>&1)"
}

# background NS CMD...: ended by reset_net or at exit; its pid is in JOB. It must
# be the command itself that runs as the job, not a subshell around it, for a
# subshell can be killed and leave the command running.
background() {
	local ns=$1
	shift
	if [ "$ns" = - ]; then "$@" & else ip netns exec "$ns" "$@" & fi
	JOB=$!
	JOBS+=("$JOB")
}

end_background() {
	local job
	for job in "${JOBS[@]+"${JOBS[@]}"}"; do kill "$job" 2>/dev/null; done
	for job in "${JOBS[@]+"${JOBS[@]}"}"; do wait "$job" 2>/dev/null; done
	JOBS=()
}

# --- Namespaces --------------------------------------------------------------

# In all of these "-" is the namespace that the test itself runs in.

in_ns() { # NS CMD...
	local ns=$1
	shift
	if [ "$ns" = - ]; then "$@"; else ip netns exec "$ns" "$@"; fi
}

ip_ns() { # NS IP-ARGS...
	local ns=$1
	shift
	if [ "$ns" = - ]; then ip "$@"; else ip -n "$ns" "$@"; fi
}

# Duplicate address detection would only make every test wait a second.
no_dad() { # NS
	in_ns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
}

# A process more is a tenth of a second more in the debug lab, so what is done
# often is done by few: see also batch().
netns_add() { # NS...
	local ns
	for ns in "$@"; do
		ip netns add "$ns"
		# shellcheck disable=SC2016 # the inner shell expands
		ip netns exec "$ns" sh -c 'for which in all default; do
			echo 0 >/proc/sys/net/ipv6/conf/$which/accept_dad
		done
		exec ip link set lo up'
	done
}

# batch NS LINE...: `ip LINE` there, one after the other.
batch() {
	local ns=$1
	shift
	printf '%s\n' "$@" | ip_ns "$ns" -batch -
}

forwarding_on() { # NS
	in_ns "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# reset_net: back to nothing but lo, between two parts of a test.
reset_net() {
	local name
	end_background
	for name in $(ip netns list | cut -d' ' -f1); do ip netns del "$name"; done
	for name in $(links_of -); do ip link del "$name" 2>/dev/null; done
	nft flush ruleset 2>/dev/null
	forget_connections
}

# forget_connections: those of the namespace that the test runs in, which outlives
# the others. A new namespace may take a port of one that is gone, whose connection
# is in TIME_WAIT here: who closed it does not open it again, so conntrack finds the
# new one invalid.
forget_connections() {
	local count=/proc/sys/net/netfilter/nf_conntrack_count
	[ ! -e "$count" ] || [ "$(<"$count")" = 0 ] || must conntrack -F
}

# links_of NS: names of the devices there, without those a namespace is born with.
links_of() {
	ip_ns "$1" -br link show | sed 's/[@ ].*//' | grep -vxE 'lo|eth[0-9]+|(tunl|gre|gretap|erspan|sit|ip6tnl|ip6gre|ip_vti|ip6_vti|teql)0'
}

has_link() { # NS NAME
	ip_ns "$1" link show dev "$2" >/dev/null 2>&1
}

no_link() { # NS NAME
	! has_link "$@"
}

# --- Pairs -------------------------------------------------------------------

# mode_args MODE: veth has one mode only, so it stands in for l2.
mode_args() {
	[ "$KIND" = veth ] || echo "mode $1"
}

# carrier NS DEV: 1 when it has one. Whoever reads that sees to it that the device
# sends, too: one that was up before its peer would do so only once a worker of the
# kernel's has come by, and until then loses packets without a word.
# shellcheck disable=SC2317 # called by name
carrier() {
	local file=/sys/class/net/$2/carrier
	if [ "$1" = - ]; then echo "$(<"$file")"; else in_ns "$1" cat "$file"; fi
}

# runs NS DEV: returns when both ends of a pair can send; DEV was the first to be up.
runs() {
	wait_until 5 equals 1 carrier "$@"
}

# pair MODE PORT CHILD NS [ARG...]: a port here, its child in NS.
pair() {
	local mode=$1 port=$2 child=$3 ns=$4
	shift 4
	# shellcheck disable=SC2046 # two words are wanted
	ip link add "$port" type "$KIND" $(mode_args "$mode") peer name "$child" netns "$ns" "$@"
}

# address NS DEV ADDR...: gives the addresses and brings the device up. "nodad",
# because without detection of duplicates too an IPv6 address is tentative, and
# of no use, until a worker of the kernel's has come by.
address() {
	local ns=$1 dev=$2 address lines=()
	shift 2
	for address; do
		[[ $address != *:* ]] || address+=" nodad"
		lines+=("addr add $address dev $dev")
	done
	batch "$ns" "${lines[@]}" "link set $dev up"
	receives "$ns" "$dev" "$@"
}

# receives NS DEV ADDRESS...: waits until IPv6 addresses of a device that is up are what its
# packets are for: a worker of the kernel's makes their local routes after `ip` is done.
receives() {
	local ns=$1 dev=$2 address
	shift 2
	for address; do
		[[ $address != *:* ]] || wait_until 5 has_local_route "$ns" "$dev" "${address%/*}" || true
	done
}

has_local_route() {
	local known
	known=$(in_ns "$1" ip -6 -o route show table local type local "$3" dev "$2" 2>&1)
	[ -n "$known" ] || [[ $(in_ns "$1" ip -o link show "$2" 2>&1) != *LOWER_UP* ]]
}

# child MODE NS NUMBER: the usual topology. The port pN has 10.0.N.1 and
# fd00:N::1, the device c0 in NS has .2 and ::2 and its default routes.
child() {
	local mode=$1 ns=$2 n=$3
	has_netns "$ns" || netns_add "$ns"
	pair "$mode" "p$n" c0 "$ns" || return
	batch - "addr add 10.0.$n.1/24 dev p$n" "addr add fd00:$n::1/64 dev p$n nodad" "link set p$n up"
	batch "$ns" "addr add 10.0.$n.2/24 dev c0" "addr add fd00:$n::2/64 dev c0 nodad" "link set c0 up" \
		"route add default via 10.0.$n.1" "route add default via fd00:$n::1"
	runs - "p$n"
}

has_netns() {
	[ -e "/run/netns/$1" ]
}

# --- What ip says ------------------------------------------------------------

# json_value TEXT KEY: the first scalar value of KEY in a JSON text.
json_value() {
	local re="\"$2\":\"?([^\",}]*)"
	[[ $1 =~ $re ]] && echo "${BASH_REMATCH[1]}"
}

link_value() { # NS DEV KEY
	json_value "$(ip_ns "$1" -d -j link show dev "$2")" "$3"
}

# counter NS DEV rx|tx packets|bytes|errors|dropped
counter() {
	local json re="\"$3\":\{[^}]*\"$4\":([0-9]+)"
	json=$(ip_ns "$1" -s -j link show dev "$2")
	[[ $json =~ $re ]] && echo "${BASH_REMATCH[1]}"
}

# at_least NUMBER CMD...: for waiting on a counter.
at_least() {
	local want=$1
	shift
	[ "$("$@")" -ge "$want" ]
}

equals() { # WANT CMD...
	local want=$1
	shift
	[ "$("$@")" = "$want" ]
}

# --- Traffic -----------------------------------------------------------------

# pings NS ADDR [PING-ARG...]: for silence, which is waited for shortly, and for
# asking again and again.
pings() {
	local ns=$1 addr=$2
	shift 2
	in_ns "$ns" ping -n -q -c 1 -W "$(scale 2 10)" "$@" "$addr"
}

# answers NS ADDR [PING-ARG...]: for an answer, which is waited for as long as a busy
# machine may take.
answers() {
	pings "$@" -W "$PATIENCE"
}

ping_ok() { # NAME NS ADDR [PING-ARG...]
	local name=$1
	shift
	succeeds "$name" answers "$@"
}

listening() { # NS tcp|udp PORT
	[ -n "$(in_ns "$1" ss -Hnl "--$2" "sport = :$3")" ]
}

# shellcheck disable=SC2317 # called by name
no_connection() { # NS: TCP has nothing more to say there; TIME_WAIT does not count
	[ -z "$(in_ns "$1" ss -Hnt)" ]
}

# echo_server NS [WORD]: TCP and UDP, IPv4 and IPv6, port 7777; answers what it
# gets, or WORD.
echo_server() {
	local ns=$1 port=7777
	shift
	background "$ns" python3 -S "$TOOLS/echo.py" "$port" "$@"
	wait_until 10 listening "$ns" tcp "$port" && wait_until 10 listening "$ns" udp "$port"
}

# probe PREFIX NS PROTO:ADDR...: one result for each; see tools/probe.py.
probe() {
	local prefix=$1 ns=$2
	shift 2
	from_tool "$prefix" in_ns "$ns" python3 -S "$TOOLS/probe.py" --port 7777 --wait "$PATIENCE" "$@"
}

# discard_server NS: takes UDP datagrams on port 9 and never answers.
discard_server() {
	background "$1" python3 -S "$TOOLS/udp.py" hold 9
	wait_until 10 listening "$1" udp 9
}

# send_udp NS ADDR COUNT SIZE [CPUS]: datagrams to port 9, from that many CPUs.
send_udp() {
	must in_ns "$1" python3 -S "$TOOLS/udp.py" send "$2" 9 "$3" "$4" "${5:-1}"
}

iperf_server() { # NS
	IPERF_LOG=$SCRATCH/iperf.$1
	: >"$IPERF_LOG"
	background "$1" iperf3 -s --forceflush >"$IPERF_LOG" 2>&1
	wait_until 10 at_least 1 iperf_turns
}

# iperf_turns: how many clients the last server was or is ready for.
# shellcheck disable=SC2317 # called by name
iperf_turns() {
	local re='.*\(test #([0-9]+)\)'
	if [[ $(<"$IPERF_LOG") =~ $re ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

# iperf NS ARG...: a client of the last server. The server listens anew for each,
# some time after the one before has ended, and until then refuses: this returns
# when it is ready for another one.
iperf() {
	local ns=$1 turns status
	shift
	turns=$(iperf_turns)
	in_ns "$ns" timeout "$(scale 300 900)" iperf3 "$@"
	status=$?
	wait_until 10 at_least $((turns + 1)) iperf_turns
	return "$status"
}

# quiet NS DEV: no packet that the test did not send itself.
quiet() {
	in_ns "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"
}

# neighbours: p1 here and c0 in blue know each other's link address for good.
neighbours() {
	must ip neigh replace 10.0.1.2 lladdr "$(link_value blue c0 address)" dev p1 nud permanent
	must ip -n blue neigh replace 10.0.1.1 lladdr "$(link_value - p1 address)" dev c0 nud permanent
}

# silence MODE: p1 here and c0 in blue, which are down yet, can send, and are silent but
# for what the test sends: no IPv6 (what it says of itself may come late), no ARP.
silence() {
	quiet - p1
	quiet blue c0
	address - p1 10.0.1.1/24
	address blue c0 10.0.1.2/24
	runs - p1
	[ "$1" = l3 ] || neighbours
}

# capture NS DEV FILE [FILTER...]: starts tcpdump and returns when it listens.
# Its pid is in CAPTURE.
capture() {
	local ns=$1 dev=$2 file=$3
	shift 3
	: >"$file.log"
	background "$ns" tcpdump -i "$dev" -n -U --immediate-mode \
		-s "${SNAPLEN:-262144}" -w "$file" "$@" 2>"$file.log"
	CAPTURE=$JOB
	CAPTURE_LOG=$file.log
	wait_until 10 grep -q 'listening on' "$file.log"
}

# capture_idle: true when tcpdump, asked, says that it has written all that the
# kernel put aside for it.
# shellcheck disable=SC2317 # called by name
capture_idle() {
	local said re='([0-9]+) packets? captured, ([0-9]+) packets? received by filter'
	kill -USR1 "$CAPTURE" || return
	sleep 0.1
	said=$(grep -a 'received by filter' "$CAPTURE_LOG" | tail -n 1)
	[[ $said =~ $re ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
}

# capture_end: ends the last capture when it has seen everything so far.
capture_end() {
	wait_until 5 capture_idle
	kill -INT "$CAPTURE"
	wait "$CAPTURE"
}

captured() { # FILE [TCPDUMP-ARG...]
	local file=$1
	shift
	tcpdump -n -r "$file" "$@" 2>/dev/null
}

can_trace_drops() {
	[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
	[ -e /sys/kernel/tracing/events/skb/kfree_skb/enable ]
}

# --- The end -----------------------------------------------------------------

# done_testing: what must hold after every test, and the plan.
done_testing() {
	reset_net
	if [ "$KIND" = passthru ] && grep -q '^passthru ' /proc/modules; then
		succeeds "module unloads" rmmod passthru
	fi
	no_leaks
	kernel_log_clean
	plan
	exit
}

at_exit() {
	local status=$?
	end_background
	rm -rf "$SCRATCH"
	exit "$status"
}
trap at_exit EXIT

no_dad -
