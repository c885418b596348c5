#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --leaks
#
# Pairs end in every way there is: by either end, by the end of either
# namespace or both, after moves, with devices above them, with packets queued
# and in flight. What is left is nothing, and soon.

. "$(dirname "$0")/lib.sh"
load_module

# A namespace that ends waits for others that end at the same time, and all of them
# for grace periods.
SOON=20
# How long a queue holds packets that are to be there when the device goes: longer
# than anything is waited for, so that it is not the queue that lets go.
QUEUED=200s

# shellcheck disable=SC2317 # called by name
neither() { # both ends are gone, wherever they were
	local ns
	for ns in - $(ip netns list | cut -d' ' -f1); do
		[ -z "$(ip_ns "$ns" -br link show type "$KIND")" ] || return 1
	done
}

gone() { # NAME
	eventually "$SOON" "$1: both ends are gone, soon" neither
}

# fresh MODE: the port p in the namespace `up`, the child c in `down`, alive.
fresh() {
	local ns
	for ns in up down; do
		has_netns $ns && ip netns del $ns
		ip netns add $ns
	done
	# shellcheck disable=SC2046
	must ip -n up link add p type "$KIND" $(mode_args "$1") peer name c netns down
	# Without duplicate address detection the addresses can be used at once.
	batch up "addr add 10.1.0.1/24 dev p" "addr add fd01::1/64 dev p nodad" "link set p up"
	batch down "addr add 10.1.0.2/24 dev c" "addr add fd01::2/64 dev c nodad" "link set c up"
	# The first is lost where a worker of the kernel's has not yet seen the carrier.
	must wait_until "$SOON" pings up 10.1.0.2
}

routes_of_pair() {
	{ ip -n up route show table all; ip -n up -6 route show table all; } | grep -E '10\.1\.0\.|fd01:'
}

# One pair, one way for it to end.
for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	fresh "$mode"
	ip -n up link del p
	gone "$mode: the port deleted"

	fresh "$mode"
	ip -n down link del c
	gone "$mode: the child deleted"

	fresh "$mode"
	isnt "$(routes_of_pair)" "" "$mode: the parent has routes over it"
	ip netns del down
	gone "$mode: the child's namespace deleted"
	is "$(routes_of_pair)" "" "$mode: the parent's routes over it are gone"

	fresh "$mode"
	ip netns del up
	gone "$mode: the port's namespace deleted"

	fresh "$mode"
	ip netns del up
	ip netns del down
	gone "$mode: both namespaces deleted, the port's first"

	fresh "$mode"
	ip netns del down
	ip netns del up
	gone "$mode: both namespaces deleted, the child's first"

	fresh "$mode"
	printf 'netns del up\nnetns del down\n' | ip -batch -
	gone "$mode: both namespaces deleted at once"
done

no_leaks

# A child that is a parent: three levels.
nested() {
	local ns
	for ns in up down leaf; do
		has_netns $ns && ip netns del $ns
	done
	fresh l3
	netns_add leaf
	must ip -n down link add p type "$KIND" peer name c netns leaf
	address down p 10.2.0.1/24
	address leaf c 10.2.0.2/24
	runs down p
	must ip -n leaf route add default via 10.2.0.1
	must ip -n up route add 10.2.0.0/24 via 10.1.0.2
	must in_ns down sysctl -qw net.ipv4.ip_forward=1
}
nested
ping_ok "nested: from the top to the leaf" up 10.2.0.2
ip netns del down
gone "nested: the middle deleted"
nested
ip netns del leaf
eventually "$SOON" "nested: the leaf deleted: its pair is gone" no_link down p
ping_ok "nested: the upper pair lives on" up 10.1.0.2
ip netns del up
gone "nested: the top deleted after the leaf"
nested
printf 'netns del up\nnetns del down\nnetns del leaf\n' | ip -batch -
gone "nested: all deleted at once"

# Moves: a device that moves loses its addresses and is taken down, as any.
revive() { # NS OF THE PORT, NS OF THE CHILD
	batch "$1" "addr flush dev p" "addr add 10.1.0.1/24 dev p" "addr add fd01::1/64 dev p nodad" "link set p up"
	batch "$2" "addr flush dev c" "addr add 10.1.0.2/24 dev c" "addr add fd01::2/64 dev c nodad" "link set c up"
	[ "$1" = "$2" ] && return
	eventually "$SOON" "$3: alive" pings "$1" 10.1.0.2
	# The first is lost where a worker of the kernel's has not yet made the local route.
	eventually "$SOON" "$3: alive with IPv6" pings "$2" fd01::1
}
ifindex() { # NS DEV
	in_ns "$1" cat "/sys/class/net/$2/ifindex"
}

# link_of NS DEV: NAMESPACE:INDEX of its other end, no namespace where it is the same.
link_of() {
	local netns
	netns=$(ip_ns "$1" -d link show "$2" | sed -n 's/.*link-netns \([a-z]*\).*/\1/p')
	echo "$netns:$(in_ns "$1" cat "/sys/class/net/$2/iflink")"
}

# within_one MODE: a packet that crosses a pair of which both ends are in the
# namespace `fourth` arrives as it is, with its mark: it crosses no border.
within_one() {
	is "$(link_of fourth p) $(link_of fourth c)" ":$(ifindex fourth c) :$(ifindex fourth p)" "$1: in one namespace: each is the other's link"
	must in_ns fourth nft 'table inet t {
		counter marked {}
		counter seen {}
		chain pre { type filter hook prerouting priority -300; iifname c udp dport 9 counter name seen; iifname c meta mark 7 counter name marked; }
	}'
	capture fourth c "$SCRATCH/within.pcap" udp port 9
	from_tool "$1: in one namespace: " in_ns fourth python3 -S "$TOOLS/frame.py" send p \
		--to "$(link_value fourth c address)" --source 10.1.0.1 --dest 10.1.0.2 --count 3 --mark 7 ipv4
	eventually "$SOON" "$1: in one namespace: they arrive" sh -c "ip netns exec fourth nft list counter inet t seen | grep 'packets 3 '"
	like "$(in_ns fourth nft list counter inet t marked)" "packets 3 " "$1: in one namespace: with their mark"
	capture_end
	is "$(captured "$SCRATCH/within.pcap" | grep -c '10.1.0.1.* > 10.1.0.2.9')" 3 "$1: in one namespace: a tap on the child sees them"
	in_ns fourth nft flush ruleset
	end_background
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	fresh "$mode"
	netns_add third fourth
	succeeds "$mode: the child moves" ip -n down link set c netns third
	revive up third "$mode: the child moved"
	is "$(link_of up p) $(link_of third c)" "third:$(ifindex third c) up:$(ifindex up p)" "$mode: each knows where the other one is"
	succeeds "$mode: the child moves back" ip -n third link set c netns down
	revive up down "$mode: the child moved back"
	succeeds "$mode: the port moves" ip -n up link set p netns fourth
	revive fourth down "$mode: the port moved"
	succeeds "$mode: both move" sh -c 'ip -n fourth link set p netns third && ip -n down link set c netns fourth'
	revive third fourth "$mode: both moved"
	is "$(link_value third p mode)$(link_value third p role) $(link_value fourth c mode)$(link_value fourth c role)" \
		"${mode}port ${mode}child" "$mode: modes and roles move along"
	succeeds "$mode: the port moves to its child" ip -n third link set p netns fourth
	revive fourth fourth
	is "$(in_ns fourth cat /sys/class/net/p/carrier)" 1 "$mode: both in one namespace have their carrier"
	within_one "$mode"
	succeeds "$mode: the child moves out, with another name" ip -n fourth link set c netns down name other
	must ip -n down link set other name c
	revive fourth down "$mode: apart again"
	ip -n third link add c type dummy
	fails_like "$mode: not where the name is taken" "exists" ip -n down link set c netns third
	ping_ok "$mode: and nothing is broken by the attempt" fourth 10.1.0.2
	ip netns del third
	ip netns del fourth
	gone "$mode: moved often, then its port's namespace deleted"
done

# Devices above it go with it, and it leaves what it was under.
fresh l2
for ns in up down; do
	dev=p
	[ "$ns" = down ] && dev=c
	must ip -n $ns link add link $dev name v5 type vlan id 5
	must ip -n $ns link add link $dev name m0 type macvlan
	must ip -n $ns link set v5 up
	must ip -n $ns link set m0 up
done
ip -n up link add br0 type bridge
must ip -n up link set v5 master br0
ip -n up link del p
gone "with devices above"
is "$(links_of down)$(links_of up)" br0 "with devices above: they are gone too"
fresh l2
ip -n up link add br0 type bridge
ip -n up link set br0 up
must ip -n up link set p master br0
ip netns del down
gone "a bridge's port, by the child's namespace"

# Taps, sockets and neighbours refer to it.
fresh l2
capture up p "$SCRATCH/gone.pcap"
echo_server down
background up socat -u "OPEN:/dev/zero" TCP4:10.1.0.2:7777
wait_until "$SOON" sh -c 'ip netns exec up ss -Hnt state established | grep -q 7777'
kill "${JOBS[1]}"
ip netns del down
gone "with a tap, and a TCP connection full of data"
wait_until "$SOON" sh -c "! kill -0 $CAPTURE"
end_background

# Packets held by a queue when the device goes. (A packet in a queue holds its
# sender's namespace, so the namespace that ends is not the sender's.)
fresh l3
if in_ns up tc qdisc add dev p root netem delay "$QUEUED" 2>/dev/null; then
	send_udp up 10.1.0.2 200 500
	like "$(in_ns up tc -s qdisc show dev p)" "backlog [1-9]" "packets wait in the port's queue"
	ip netns del down
	gone "packets queued, the other namespace deleted"
	fresh l2
	must in_ns up tc qdisc add dev p root netem delay "$QUEUED"
	must in_ns down tc qdisc add dev c root netem delay "$QUEUED"
	send_udp up 10.1.0.2 200 500
	send_udp down 10.1.0.1 200 500
	ip -n down link del c
	gone "packets queued on both ends, the child deleted"
	ip netns del down
	ip netns del up

	# A packet in a queue holds the namespace of its sender, so one that is queued
	# within that namespace holds it until the queue lets go: 6 s here, and with
	# veth the same. A pair of veth into each tells of its end.
	fresh l2
	for ns in up down; do
		must ip link add "of_$ns" type veth peer name w netns $ns
	done
	must in_ns up tc qdisc add dev p root netem delay 6s
	must in_ns down tc qdisc add dev c root netem delay 6s
	send_udp up 10.1.0.2 50 500
	send_udp down 10.1.0.1 50 500
	ip netns del up
	ip netns del down
	eventually $((6 + SOON)) "packets queued on both ends, both namespaces deleted: the port's ends when they were sent" no_link - of_up
	eventually "$SOON" "packets queued on both ends, both namespaces deleted: the child's too" no_link - of_down
else
	skip "no netem" "packets queued on both ends"
fi

# Somebody holds a port that is gone: the kernel says so each second to all who listen,
# and to each of them it must be as if it was said once.
held() { # MODE ENDING...
	local mode=$1
	shift
	reset_net
	for number in 1 2; do
		child "$mode" "held$number" "$number"
		must ip link set "p$number" type "$KIND" shortcut all
	done
	must ip link add slow type dummy
	must ip link set slow up
	# A packet takes longer than the port is held, so that nobody gets room to send.
	must tc qdisc add dev slow root tbf rate 80bit burst 2kb limit 1mb
	background - python3 -S "$TOOLS/hold_device.py" slow p1 >"$SCRATCH/held"
	local holder=$JOB
	must wait_until "$SOON" grep -q held "$SCRATCH/held"
	"$@" &
	local ending=$!
	# Time for it to be said again, and far from when the kernel complains.
	sleep "$(scale 2 3.5)"
	result "$(kill -0 $ending 2>/dev/null; echo $?)" "$mode: a port that is held: $* waits"
	kill -9 "$holder"
	succeeds "$mode: ... and ends when it is let go" wait_for $ending
	no_link - p1
	result $? "$mode: ... and the port is gone"
	ping_ok "$mode: ... another port's shortcuts go on" - 10.0.2.2
	succeeds "$mode: ... and can be changed" ip link set p2 type "$KIND" shortcut none
	must ip link set p2 type "$KIND" shortcut device,output
	reset_net
}
# shellcheck disable=SC2317 # called by name
wait_for() { timeout "$(scale 30 180)" tail --pid="$1" -f /dev/null; }
if [ "$KIND" = passthru ]; then
	held l3 ip link del p1
	held l2 ip -n held1 link del c0
fi
reset_net

# Under traffic from both sides, on all CPUs, each way of ending once a round.
flood() { # NS ADDR: sends until the device is gone
	background "$1" python3 -S "$TOOLS/udp.py" flood "$2" 9
}
round=0
modes=(l3 l2)
for ending in "-n up link del p" "-n down link del c" "netns del down" "netns del up"; do
	# In the debug lab each ending once, the modes by turns.
	[ "$LAB" = debug ] && modes=("$([ "${modes[0]}" = l3 ] && echo l2 || echo l3)")
	for mode in "${modes[@]}"; do
		[ "$KIND:$mode" = veth:l3 ] && continue
		round=$((round + 1))
		fresh "$mode"
		flood up 10.1.0.2
		flood up fd01::2
		flood down 10.1.0.1
		flood down fd01::1
		succeeds "$mode: traffic flows" wait_until "$SOON" at_least 50 counter down c rx packets
		# The floods are members of their namespaces: devices go, processes stay,
		# and a namespace lives until the last of them has ended.
		case $ending in netns*) end_background ;; esac
		# shellcheck disable=SC2086
		ip $ending
		gone "$mode: under traffic, ip $ending"
		end_background
	done
done

# 200 pairs.
reset_net
netns_add many
count=$(scale 200 60)
started=$SECONDS
for ((i = 0; i < count; i++)); do echo "link add p$i type $KIND peer name c$i netns many"; done >"$SCRATCH/batch"
succeeds "$count pairs made" ip -batch "$SCRATCH/batch"
is "$(ip -br link show type "$KIND" | wc -l) $(ip -n many -br link show type "$KIND" | wc -l)" "$count $count" "they are there"
address - p7 10.7.0.1/24
address many c7 10.7.0.2/24
runs - p7
ping_ok "one of them works" - 10.7.0.2
sed -n 's/link add \(p[0-9]*[02468]\) .*/link del \1/p' "$SCRATCH/batch" >"$SCRATCH/half"
succeeds "half of them removed by their ports" ip -batch "$SCRATCH/half"
is "$(ip -n many -br link show type "$KIND" | wc -l)" $((count / 2)) "half are left"
ip netns del many
eventually "$SOON" "the rest goes with the namespace" neither
between $((SECONDS - started)) 0 300 "all of it in bounded time"

# Many namespaces, born and ended at once, each with its pair.
come_and_go() { # NUMBER
	local i
	for i in 1 2 3; do
		ip netns add "n$1"
		ip link add "q$1" type "$KIND" peer name c netns "n$1" || return 1
		ip -n "n$1" link set c up
		ip link set "q$1" up
		if [ $((i % 2)) = 0 ]; then ip link del "q$1"; fi
		ip netns del "n$1"
		wait_until 60 no_link - "q$1" || return 1
	done
}
pids=()
for i in 1 2 3 4; do
	come_and_go "$i" &
	pids+=("$!")
done
failures=0
for pid in "${pids[@]}"; do wait "$pid" || failures=$((failures + 1)); done
is "$failures" 0 "four at a time make and end namespaces"
eventually "$SOON" "nothing of them is left" neither

done_testing
