#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device by itself: carrier, operational state, what ethtool shows and sets,
# queues, XDP, headroom, switches of `ip link set` and what mode l3 refuses.

. "$(dirname "$0")/lib.sh"
load_module

states() { # operational state of port and child
	echo "$(link_value - p1 operstate) $(link_value blue c0 operstate)"
}

carriers() {
	echo "$(cat /sys/class/net/p1/carrier 2>/dev/null || echo -) $(in_ns blue cat /sys/class/net/c0/carrier 2>/dev/null || echo -)"
}

drops() { # NS DEV
	echo $(($(in_ns "$1" cat "/sys/class/net/$2/statistics/tx_dropped") + $(in_ns "$1" cat "/sys/class/net/$2/statistics/rx_dropped")))
}

peer_down() { # what the port dropped for that
	ethtool -S p1 | sed -n 's/^ *tx_drop_peer_down: //p'
}

# down_under_traffic: takes the child down and up again, often; true when the port's
# device had something to drop meanwhile.
# shellcheck disable=SC2317 # called by name
down_under_traffic() {
	local flips=()
	for _ in {1..20}; do flips+=("link set c0 down" "link set c0 up"); done
	batch blue "${flips[@]}"
	runs - p1
	[ "$(peer_down)" -gt 0 ]
}

# differences NS DEV NS DEV: in what tools show of two devices, one line each, which says
# what the first has and the second has; not names, numbers and addresses.
differences() {
	local of side=()
	for of in "$1 $2" "$3 $4"; do
		# shellcheck disable=SC2086 # two words
		set -- $of
		side+=("$(
			in_ns "$1" ethtool -k "$2" | tail -n +2
			for what in -T -l -a -c -g ""; do in_ns "$1" ethtool $what "$2" 2>&1 | tail -n +2 | sed "s/^/ethtool $what: /"; done
			ip_ns "$1" -d -j link show dev "$2" | python3 -S -c 'import json, sys
own = ("ifindex", "ifname", "link", "link_index", "link_netnsid", "address", "linkinfo")
for key, value in sorted(json.load(sys.stdin)[0].items()):
    if key not in own:
        print(f"{key}: {value}")'
		)")
	done
	comm -3 <(sort <<<"${side[0]}") <(sort <<<"${side[1]}") | sed 's/^\t/> /'
}

# What mode l3 has other than veth: no link layer, and so no VLANs; IPv6 makes up what is
# its own in an address. A device that is up has these FLAGS, and tells how that is done.
other() { # MODE [FLAGS]
	[ "$1" = l3 ] || return 0
	echo "broadcast: ff:ff:ff:ff:ff:ff
flags: ['BROADCAST', 'MULTICAST'$2]
> flags: ['POINTOPOINT', 'MULTICAST', 'NOARP'$2]"
	[ -z "$2" ] || echo "inet6_addr_gen_mode: eui64
> inet6_addr_gen_mode: random"
	echo "link_type: ether
> link_type: none
> rx-vlan-offload: off [fixed]
rx-vlan-offload: on
> rx-vlan-stag-hw-parse: off [fixed]
rx-vlan-stag-hw-parse: on
> tx-vlan-offload: off [fixed]
tx-vlan-offload: on
> tx-vlan-stag-hw-insert: off [fixed]
tx-vlan-stag-hw-insert: on
vlan-challenged: off [fixed]
> vlan-challenged: on [fixed]"
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue

	# Beside veth: the same features, limits, queues, stamps, but for what the mode is about.
	netns_add blue
	pair "$mode" p1 c0 blue
	must ip link add v1 type veth peer name v0 netns blue
	for flags in "" ", 'UP', 'LOWER_UP'"; do
		for end in "- v1 - p1" "blue v0 blue c0"; do
			# shellcheck disable=SC2086 # words
			is "$(differences $end)" "$(other "$mode" "$flags")" "$mode: ${end##* } beside veth${flags:+, up}: nothing differs but what the mode is about"
		done
		batch - "link set p1 up" "link set v1 up"
		batch blue "link set c0 up" "link set v0 up"
		runs - p1
		runs - v1
	done
	like "$(ip -d link show p1)" "qdisc noqueue .* tso_max_size 524280 tso_max_segs 65535" "$mode: neither has a queue or small limits"
	reset_net

	# Carrier: there while both are up.
	netns_add blue
	pair "$mode" p1 c0 blue
	is "$(states)" "DOWN DOWN" "$mode: both begin down"
	ip link set p1 up
	is "$(states)" "DOWN DOWN" "$mode: one up: neither runs"
	is "$(carriers)" "0 -" "$mode: one up: carrier is 0"
	ip -n blue link set c0 up
	eventually 5 "$mode: both up: both run" equals "UP UP" states
	is "$(carriers)" "1 1" "$mode: both up: carrier is 1"
	ip link set p1 down
	eventually 5 "$mode: the port down: neither runs" equals "DOWN DOWN" states
	is "$(states) $(carriers)" "DOWN DOWN - 0" "$mode: the port down: the child loses its carrier"
	ip link set p1 up
	eventually 5 "$mode: the port up again" equals "UP UP" states
	ip -n blue link set c0 down
	eventually 5 "$mode: the child down: neither runs" equals "DOWN DOWN" states
	is "$(states) $(carriers)" "DOWN DOWN 0 -" "$mode: the child down: the port loses its carrier"
	ip -n blue link set c0 up
	eventually 5 "$mode: the child up again" equals "UP UP" states
	like "$(in_ns blue ethtool c0)" "Link detected: yes" "$mode: ethtool: link detected"
	ip link set p1 down
	like "$(in_ns blue ethtool c0)" "Link detected: no" "$mode: ethtool: no link"
	ip link set p1 up

	# The carrier is what the other end makes of it; as on veth, nobody may set it.
	fails_like "$mode: ip link set carrier off is refused" "not supported" ip link set p1 carrier off
	fails_like "$mode: ip link set carrier on is refused, from the child" "not supported" ip -n blue link set c0 carrier on
	fails "$mode: so is the file in sysfs" sh -c 'echo 0 >/sys/class/net/p1/carrier'
	is "$(carriers)" "1 1" "$mode: and the carrier is as it was"

	# The monitor hears of it.
	: >"$SCRATCH/monitor"
	background blue ip monitor link >>"$SCRATCH/monitor"
	# It listens when its socket has joined a group.
	wait_until 10 sh -c "ip netns exec blue awk '\$3 == $JOB && \$4 != \"00000000\"' /proc/net/netlink | grep -q ."
	ip link set p1 down
	eventually 5 "$mode: the child's side is told of the lost carrier" grep -q 'c0.*NO-CARRIER' "$SCRATCH/monitor"
	: >"$SCRATCH/monitor"
	ip link set p1 up
	eventually 5 "$mode: and of the carrier" grep -q 'c0.*LOWER_UP' "$SCRATCH/monitor"

	# A packet for a peer that is down is dropped, and counted once by its sender: by
	# the device as long as the kernel has not heard of the carrier, then by the
	# kernel, which has shut the device's queue.
	address - p1 10.0.1.1/24
	address blue c0 10.0.1.2/24
	eventually 5 "$mode: up" equals "UP UP" states
	quiet - p1
	quiet blue c0
	# One frame has to be on its way just then: two CPUs send.
	senders=()
	for _ in 1 2; do
		background - python3 -S "$TOOLS/frame.py" send p1 --count 1000000000 --may-drop ipv4 >/dev/null
		senders+=("$JOB")
	done
	[ "$KIND" != passthru ] || eventually 60 "$mode: frames on their way to a peer that goes down are dropped by the device" down_under_traffic
	kill "${senders[@]}"
	wait "${senders[@]}" 2>/dev/null
	ip -n blue link set c0 down
	must wait_until 5 equals 0 carrier - p1
	before="$(drops - p1) $(counter - p1 tx packets)" by_device=$(peer_down)
	from_tool "$mode: frames to a peer that is down: " python3 -S "$TOOLS/frame.py" send p1 --count 5 ipv4
	is "$(drops - p1) $(counter - p1 tx packets)" "$((${before% *} + 5)) ${before#* }" "$mode: each is counted as dropped once, and not as sent"
	is "$(peer_down)" "$by_device" "$mode: by the kernel"
	ip -n blue link set c0 up
	eventually 5 "$mode: traffic returns with the carrier" pings - 10.0.1.2

	# ethtool.
	info=$(ethtool -i p1)
	like "$info" "driver: $KIND" "$mode: ethtool -i: driver"
	like "$(ethtool p1)" "Speed: 10000Mb/s" "$mode: ethtool: speed as veth's"
	like "$(ethtool p1)" "Duplex: Full" "$mode: ethtool: duplex"
	for feature in scatter-gather tcp-segmentation-offload generic-segmentation-offload highdma tx-checksum-ip-generic tx-udp-segmentation tx-gso-list; do
		like "$(ethtool -k p1)" "$feature: on" "$mode: ethtool -k: $feature on"
	done
	for feature in tso gso gro sg tx; do
		succeeds "$mode: ethtool -K: $feature off" ethtool -K p1 "$feature" off
		succeeds "$mode: ethtool -K: $feature on" ethtool -K p1 "$feature" on
	done
	unlike "$(ethtool -k p1)" "tcp-segmentation-offload: off" "$mode: ethtool -K: all on again"
	ping_ok "$mode: after all of them" - 10.0.1.2

	# Switches of ip link.
	for switch in "txqueuelen 13" "alias inner" "group 7" "multicast off" "arp off" "arp on" "promisc on" "promisc off" "allmulticast on" "gso_max_segs 100" "gso_max_size 30000" "addrgenmode none"; do
		# shellcheck disable=SC2086 # words
		succeeds "$mode: ip link set $switch" ip link set p1 $switch
	done
	is "$(link_value - p1 txqlen) $(link_value - p1 ifalias) $(link_value - p1 gso_max_segs)" "13 inner 100" "$mode: they are kept"
	if [ "$mode" = l3 ] && [ "$KIND" != veth ]; then
		pair l3 p2 c2 blue
		like "$(ip link show p2)" "NOARP" "l3: born without ARP"
		ip link del p2
	else
		unlike "$(ip -n blue link show c0)" "NOARP" "$mode: ARP is there"
	fi
	reset_net
done

# What needs a link layer is refused where there is none.
if [ "$KIND" = passthru ]; then
	netns_add blue
	pair l3 p0 c0 blue
	ip link add br0 type bridge
	for ns in - blue; do
		dev=p0
		[ "$ns" = blue ] && dev=c0
		fails_like "l3: $dev: no address can be set" "not supported" ip_ns "$ns" link set "$dev" address 02:00:00:00:00:01
		fails_like "l3: $dev: no VLAN above it" "VLANs not supported" ip_ns "$ns" link add link "$dev" name up0 type vlan id 5
		if can_load ipvlan; then
			fails_like "l3: $dev: no ipvlan above it" "Invalid argument" ip_ns "$ns" link add link "$dev" name up0 type ipvlan
		else
			skip "no ipvlan" "l3: $dev: no ipvlan above it"
		fi
		if can_load macsec; then
			fails_like "l3: $dev: no MACsec above it" "Invalid argument" ip_ns "$ns" link add link "$dev" name up0 type macsec
		else
			skip "no MACsec" "l3: $dev: no MACsec above it"
		fi
		fails_like "l3: $dev: no macvlan above it" "Invalid argument" ip_ns "$ns" link add link "$dev" name up0 type macvlan
	done
	fails_like "l3: no bridge takes it" "Invalid argument" ip link set p0 master br0
	is "$(links_of - | sort | xargs) $(links_of blue)" "br0 p0 c0" "l3: nothing was made of them"
	reset_net
fi

# Queues: as many as there may be CPUs, one of each in use until told otherwise.
used_queues() { # NS DEV: tx and rx
	# shellcheck disable=SC2016 # the inner shell expands
	in_ns "$1" sh -c 'cd "/sys/class/net/$1/queues" && echo $(ls -d tx-* | wc -l) $(ls -d rx-* | wc -l)' - "$2"
}
allocated_queues() { # NS DEV
	echo "$(link_value "$1" "$2" num_tx_queues) $(link_value "$1" "$2" num_rx_queues)"
}
# accounted: what has arrived in the child, and what either end dropped.
# shellcheck disable=SC2317 # called by name
accounted() {
	echo $(($(counter blue c0 rx packets) + $(drops - p1) + $(drops blue c0)))
}
cpus=$(($(sed 's/.*[-,]//' /sys/devices/system/cpu/possible) + 1))
child l3 blue 1
discard_server blue
for end in "- p1" "blue c0"; do
	# shellcheck disable=SC2086 # two words
	is "$(allocated_queues $end), $(used_queues $end)" "$cpus $cpus, 1 1" "${end#* }: $cpus queues of each kind, one of each in use"
	# shellcheck disable=SC2086
	succeeds "${end#* }: ethtool -L rx 2 tx 2" in_ns ${end% *} ethtool -L "${end#* }" rx 2 tx 2
	# shellcheck disable=SC2086
	is "$(used_queues $end)" "2 2" "${end#* }: two of each in use"
	before=$(counter blue c0 rx packets)
	send_udp - 10.0.1.2 400 64 4
	eventually 5 "${end#* }: all arrive" at_least $((before + 400)) counter blue c0 rx packets
done
reset_net

netns_add blue
must ip link add p1 numtxqueues 4 numrxqueues 4 type "$KIND" peer name c0 numtxqueues 4 numrxqueues 4 netns blue
is "$(find /sys/class/net/p1/queues -name 'tx-*' | wc -l) $(find /sys/class/net/p1/queues -name 'rx-*' | wc -l)" "4 4" "four queues of each kind"
silence l3
discard_server blue
must answers - 10.0.1.2
before=$(counter blue c0 rx packets)
send_udp - 10.0.1.2 400 64 4
eventually 5 "four queues: all arrive" equals $((before + 400)) counter blue c0 rx packets
if [ "$KIND" != netkit ]; then
	succeeds "ethtool -l shows the channels" ethtool -l p1
	succeeds "ethtool -L takes fewer" ethtool -L p1 tx 2 rx 2
	is "$(find /sys/class/net/p1/queues -name 'tx-*' | wc -l)" 2 "ethtool -L: two are left"
	fails "ethtool -L refuses more than there are" ethtool -L p1 tx 5
	fails "ethtool -L refuses none" ethtool -L p1 tx 0
	before=$(counter blue c0 rx packets)
	send_udp - 10.0.1.2 400 64 4
	eventually 5 "two queues: all arrive" equals $((before + 400)) counter blue c0 rx packets
fi
reset_net

# The numbers change under load: no datagram is lost but those that a counter tells of.
for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	netns_add blue
	# shellcheck disable=SC2046 # two words are wanted
	must ip link add p1 numtxqueues 4 numrxqueues 4 type "$KIND" $(mode_args "$mode") peer name c0 numtxqueues 4 numrxqueues 4 netns blue
	silence "$mode"
	must in_ns blue nft 'table inet t { chain p { type filter hook input priority 0; udp dport 9 counter name n drop; }; counter n {}; }'
	sent=$(python3 -S "$TOOLS/queues.py" p1 blue c0 10.0.1.2 "$(scale 40 10)" 4 2>&1)
	between "$sent" 1000 1000000000 "$mode: datagrams were sent while the number of queues changed"
	eventually 10 "$mode: each has arrived or is counted as dropped" equals "$sent" accounted
	# What a change may drop is little.
	between "$(counter blue c0 rx packets)" $((sent * 9 / 10)) "$sent" "$mode: nearly all have arrived"
	is "$(in_ns blue nft list counter inet t n | sed -n 's/.*packets \([0-9]*\) .*/\1/p')" "$(counter blue c0 rx packets)" "$mode: and all that the device counts came to the child's IP"
	reset_net
done

# A receiver with fewer queues than its sender: a queue of the sender's is none of the
# receiver's, and whoever looks at the receiver's (RPS here) finds one that exists.
child l3 blue 1
ip link del p1
must ip link add p1 numtxqueues 4 type "$KIND" peer name c0 numrxqueues 2 netns blue
address - p1 10.0.1.1/24
address blue c0 10.0.1.2/24
runs - p1
discard_server blue
if tc qdisc add dev p1 clsact && tc filter add dev p1 egress matchall action skbedit queue_mapping 3; then
	# shellcheck disable=SC2016 # the inner shell expands
	in_ns blue sh -c 'for queue in /sys/class/net/c0/queues/rx-*; do echo 3 >"$queue/rps_cpus"; done'
	before=$(counter blue c0 rx packets)
	send_udp - 10.0.1.2 40 64
	eventually 5 "from the fourth queue to a device with two: all arrive" at_least $((before + 40)) counter blue c0 rx packets
	is "$(dmesg | grep 'received packet on queue')" "" "from the fourth queue to a device with two: by one of them"
	mkdir -p "$SCRATCH/second"
	if [ "$KIND" = passthru ] && mount -t bpf bpf "$SCRATCH/second" && python3 -S "$TOOLS/xdp.py" second "$SCRATCH/second/it"; then
		must ip -n blue link set c0 xdpgeneric pinned "$SCRATCH/second/it"
		fails "a program that drops what comes in by the second has it" pings - 10.0.1.2
		# Said again, not left to the stack: it takes one of the four by a hash.
		must tc filter del dev p1 egress
		must tc filter add dev p1 egress matchall action skbedit queue_mapping 0
		ping_ok "... and what is sent by the first comes in by the first" - 10.0.1.2
	else
		skip "no XDP" "a program that drops what comes in by the second"
	fi
else
	skip "no skbedit" "from the fourth queue to a device with two"
fi
reset_net

spoofed() { # what the child has sent with others' addresses
	in_ns blue ethtool -S c0 | sed -n 's/^ *tx_drop_spoofed: //p'
}

# XDP programs run where the stack takes packets (generic ones); the device itself has no
# place for one, and says so.
programs=$SCRATCH/programs
mkdir -p "$programs"
if mount -t bpf bpf "$programs" && for verdict in drop pass tx; do python3 -S "$TOOLS/xdp.py" "$verdict" "$programs/$verdict" || break; done 2>"$SCRATCH/bpf"; [ -e "$programs/tx" ]; then
	for mode in l3 l2; do
		[ "$KIND:$mode" = veth:l3 ] && continue
		child "$mode" blue 1
		# A program that lets nothing through lets no neighbour answer either.
		[ "$mode" = l3 ] || neighbours
		for end in "- p1 10.0.1.1 fd00:1::1" "blue c0 10.0.1.2 fd00:1::2"; do
			read -r ns dev ip4 ip6 <<<"$end"
			from=$([ "$ns" = - ] && echo blue || echo -)
			[ "$KIND" != passthru ] || fails_like "$mode: $dev: native XDP is refused" "(does not|doesn't) support XDP in native mode" ip_ns "$ns" link set dev "$dev" xdpdrv pinned "$programs/drop"
			[ "$KIND" != passthru ] || fails_like "$mode: $dev: XDP in hardware is refused" "(does not|doesn.t) support XDP" ip_ns "$ns" link set dev "$dev" xdpoffload pinned "$programs/drop"
			unlike "$(ip_ns "$ns" -d link show "$dev")" "xdp" "$mode: $dev: and no program is left there"
			ping_ok "$mode: $dev: and packets pass" "$from" "$ip4"
			succeeds "$mode: $dev: generic XDP" ip_ns "$ns" link set dev "$dev" xdpgeneric pinned "$programs/pass"
			like "$(ip_ns "$ns" link show "$dev")" "xdpgeneric" "$mode: $dev: generic XDP: it is shown"
			ping_ok "$mode: $dev: generic XDP passes IPv4" "$from" "$ip4" -s 1400
			ping_ok "$mode: $dev: generic XDP passes IPv6" "$from" "$ip6" -s 1400
			must ip_ns "$ns" link set dev "$dev" xdpgeneric off
			must ip_ns "$ns" link set dev "$dev" xdpgeneric pinned "$programs/drop"
			fails "$mode: $dev: generic XDP drops IPv4" pings "$from" "$ip4" -W 2
			fails "$mode: $dev: generic XDP drops IPv6" pings "$from" "$ip6" -W 2
			must ip_ns "$ns" link set dev "$dev" xdpgeneric off
			# One that sends packets back sends the parent's, with its address.
			must ip_ns "$ns" link set dev "$dev" xdpgeneric pinned "$programs/tx"
			other=$([ "$dev" = p1 ] && echo c0 || echo p1)
			if [ "$KIND:$dev" = passthru:c0 ]; then
				before=$(spoofed)
				pings - "$ip4" -W 2 >/dev/null
				between "$(($(spoofed) - before))" 1 10 "$mode: c0: generic XDP sends back: the check of sources drops and counts it"
				must ip link set p1 type passthru spoofchk off
			fi
			capture "$from" "$other" "$SCRATCH/tx.pcap" -Q in icmp
			pings "$from" "$ip4" -W 2 >/dev/null
			capture_end
			like "$(captured "$SCRATCH/tx.pcap")" "> $ip4: ICMP echo request" "$mode: $dev: generic XDP sends back"
			must ip_ns "$ns" link set dev "$dev" xdpgeneric off
			ping_ok "$mode: $dev: all is as before without a program" "$from" "$ip4"
		done
		reset_net
	done
else
	skip "no BPF: $(tail -n 1 "$SCRATCH/bpf")" "XDP"
fi
umount "$programs" 2>/dev/null

# Headroom: a bridge asks its ports for what its other ports need, and a port
# passes that on, so that a tunnel beyond the pair finds room in front.
headroom() { # NS DEV: what it asks of its senders
	in_ns "$1" python3 -S "$TOOLS/headroom.py" "$2"
}
if can_load vxlan && can_load bridge; then
	child l2 blue 1
	child l2 red 2
	ip link add br0 type bridge
	ip link set br0 up
	ip link add vx0 type vxlan id 9 local 10.0.2.1 remote 10.0.2.2 dstport 4789 dev p2
	must ip link set p1 master br0
	must ip link set vx0 up master br0
	must ip -n red link add vx0 type vxlan id 9 local 10.0.2.2 remote 10.0.2.1 dstport 4789 dev c0
	ip -n red addr add 10.0.1.3/24 dev vx0
	ip -n red link set vx0 up
	ip -n blue route replace 10.0.1.0/24 dev c0
	ping_ok "headroom: from a child through a bridge into VXLAN" blue 10.0.1.3 -s 1300
	if [ "$(headroom - p1)" = - ]; then
		skip "the kernel does not tell" "headroom: the child's device asks for what VXLAN needs"
	else
		# Ethernet, IPv4, UDP and VXLAN.
		between "$(headroom blue c0)" 50 200 "headroom: the child's device asks for what VXLAN needs"
		is "$(headroom blue c0)" "$(headroom - p1)" "headroom: and so does the port"
		ip link set vx0 nomaster
		ip link set p1 nomaster
		is "$(headroom blue c0) $(headroom - p1)" "0 0" "headroom: out of the bridge none is asked for"
		# Tunnels in tunnels, by bridges and pairs so that no limit of the kernel's ends it.
		must ip -n blue link add w0 type dummy
		for i in {1..12}; do
			must ip -n blue link add "v$i" type veth peer name "w$i"
			must ip -n blue link add "br$i" type bridge
			must ip -n blue link add "x$i" type vxlan id "$i" dev "w$((i - 1))" dstport 4789
			must ip -n blue link set "x$i" master "br$i"
			must ip -n blue link set "v$i" master "br$i"
		done
		must ip -n blue link set c0 master br12
		at_least 600 headroom blue c0
		result $? "headroom: a child may ask for much of itself"
		is "$(headroom - p1)" 512 "headroom: but of its parent for no more than there is a use for"
	fi
	reset_net
else
	skip "no vxlan or bridge" "headroom"
fi

done_testing
