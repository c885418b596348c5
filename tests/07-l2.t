#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# mode l2 is Ethernet: bridge ports with VLAN filtering, VLAN, macvlan, ipvlan and
# MACsec devices above it, bonds, ARP and neighbour discovery, broadcast, multicast
# and router advertisements; the last two also in mode l3, which is no Ethernet, but
# says that it can do it.

. "$(dirname "$0")/lib.sh"
load_module

lladdr_of() { # NS ADDR DEV: the link address that the neighbour table has
	ip_ns "$1" neigh show "$2" dev "$3" | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p'
}

# --- Neighbours --------------------------------------------------------------
child l2 blue 1
ping_ok "ARP finds the child" - 10.0.1.2
ping_ok "neighbour discovery finds the child" - fd00:1::2
is "$(lladdr_of - 10.0.1.2 p1)" "$(link_value blue c0 address)" "ARP: the child's address is learnt"
is "$(lladdr_of - fd00:1::2 p1)" "$(link_value blue c0 address)" "ND: the child's address is learnt"
ping_ok "link-local addresses answer" blue "$(ip -6 -br addr show dev p1 scope link | awk '{ print $3 }' | cut -d/ -f1)%c0"

must ip -n blue link set c0 address 02:00:00:00:00:aa
ip neigh flush dev p1
ping_ok "the child's address may change" - 10.0.1.2
is "$(lladdr_of - 10.0.1.2 p1)" 02:00:00:00:00:aa "ARP learns the new one"
fails "a multicast address is refused" ip link set p1 address 01:00:5e:00:00:01
fails "the zero address is refused" ip link set p1 address 00:00:00:00:00:00
ip neigh replace 10.0.1.2 lladdr 02:00:00:00:00:bb dev p1
fails "a frame for another station is not for the child's stack" pings - 10.0.1.2
# It is permanent: a flush leaves it.
must ip neigh del 10.0.1.2 dev p1

# --- Broadcast and multicast -------------------------------------------------

# joined NAME NS SOURCE NS DEV: what the one sends to a group comes to the other,
# once that has joined it.
joined() {
	local name=$1 from=$2 source=$3 ns=$4 dev=$5
	: >"$SCRATCH/group"
	background "$ns" socat -u "UDP4-RECV:5000,ip-add-membership=239.1.1.1:$dev" "OPEN:$SCRATCH/group,creat,append"
	wait_until 10 listening "$ns" udp 5000
	for _ in 1 2 3; do echo joined | in_ns "$from" socat -u - "UDP4-DATAGRAM:239.1.1.1:5000,ip-multicast-if=$source"; done
	eventually 5 "$name" grep -q joined "$SCRATCH/group"
	end_background
}

multicast() { # MODE: of a pair that child() made
	in_ns blue sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
	sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
	# Who sends it hears it first, unless told not to (-L).
	ping_ok "$1: IPv4 multicast is answered" - 224.0.0.1 -L -I p1
	ping_ok "$1: IPv6 multicast is answered" - ff02::1%p1 -L
	ping_ok "$1: IPv4 multicast is answered, from the child" blue 224.0.0.1 -L -I c0
	ping_ok "$1: IPv6 multicast is answered, from the child" blue ff02::1%c0 -L
	joined "$1: a group that the child joined reaches it" - 10.0.1.1 blue c0
	joined "$1: a group that the parent joined on the port reaches it" blue 10.0.1.2 - p1
}

# Routers tell of themselves and of prefixes by multicast, too.
advertised() { # MODE
	local route address
	netns_add blue
	pair "$1" p1 c0 blue
	must sysctl -qw net.ipv6.conf.p1.forwarding=1
	must in_ns blue sysctl -qw net.ipv6.conf.c0.accept_ra=1 net.ipv6.conf.c0.use_tempaddr=0 net.ipv6.conf.c0.router_solicitations=0
	address - p1 3fff:5::1/64
	must ip -n blue link set c0 up
	runs - p1
	eventually 5 "$1: the port has an address that routers speak from" sourced
	eventually 5 "$1: the child's device has one, too" linked
	is "$(ip -n blue -6 route show default)$(ip -n blue -6 -br addr show dev c0 scope global)" "" "$1: without a router's word the child has nothing else"
	must python3 -S "$TOOLS/advertise.py" p1 3fff:5::/64
	eventually 5 "$1: advertised: the child makes itself an address" autoconfigured
	route=$(ip -n blue -6 route show default)
	like "$route" "^default via $(sourced) dev c0 proto ra" "$1: advertised: the port is its default router"
	like "$(ip -n blue -6 route show 3fff:5::/64)" "dev c0 proto kernel" "$1: advertised: the prefix is on the link"
	address=$(autoconfigured)
	eventually 5 "$1: advertised: the child's address answers" pings - "$address"
	must ip addr add 3fff:6::1/128 dev lo
	ping_ok "$1: advertised: the child reaches what is behind its router" blue 3fff:6::1
	must ip addr del 3fff:6::1/128 dev lo
	reset_net
}
# What is tentative, until a worker of the kernel's has come by, is of no use yet.
# shellcheck disable=SC2317 # called by name
sourced() { ip -6 -br addr show dev p1 scope link -tentative | grep -o 'fe80::[^/]*'; }
# shellcheck disable=SC2317 # called by name
linked() { ip -n blue -6 -br addr show dev c0 scope link -tentative | grep -o 'fe80::[^/]*'; }
autoconfigured() { ip -n blue -6 -br addr show dev c0 scope global dynamic -tentative | grep -o '3fff:5::*[^/]*'; }

multicast l2
# Nor is a broadcast to be answered by who sends it.
must sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=1
ping_ok "IPv4 broadcast is answered" - 10.0.1.255 -b
reset_net
if [ "$KIND" != veth ]; then
	child l3 blue 1
	like "$(ip link show p1) $(ip -n blue link show c0)" "MULTICAST.*MULTICAST" "l3: both ends say that they do multicast"
	multicast l3
	reset_net
	advertised l3
fi
advertised l2

# --- A bridge with VLAN filtering --------------------------------------------
# blue and red in VLAN 10, green in VLAN 20, trunk has both, tagged.
netns_add blue red green trunk
ip link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0
ip link set br0 up
number=0
for ns in blue red green trunk; do
	number=$((number + 1))
	pair l2 "p$number" c0 "$ns"
	succeeds "$ns: its port joins the bridge" ip link set "p$number" master br0
	ip link set "p$number" up
	address "$ns" c0 "10.0.0.$number/24" "fd00::$number/64"
done
for dev in p1 p2; do bridge vlan add dev "$dev" vid 10 pvid untagged; done
bridge vlan add dev p3 vid 20 pvid untagged
bridge vlan add dev p4 vid 10
bridge vlan add dev p4 vid 20
ip -n trunk addr flush dev c0
for vid in 10 20; do
	must ip -n trunk link add link c0 name "c0.$vid" type vlan id "$vid"
	address trunk "c0.$vid" "10.0.0.4/24" "fd00::4/64"
	# One address on two VLANs: the way out is chosen by the test.
	ip -n trunk addr del fd00::4/64 dev "c0.$vid"
	ip -n trunk addr del 10.0.0.4/24 dev "c0.$vid"
	address trunk "c0.$vid" "10.0.0.$((100 + vid))/24" "fd00::$((100 + vid))/64"
done
ping_ok "bridge: within a VLAN (IPv4)" blue 10.0.0.2 -s 1472 -M "do"
ping_ok "bridge: within a VLAN (IPv6)" blue fd00::2
fails "bridge: not between VLANs (IPv4)" pings blue 10.0.0.3
fails "bridge: not between VLANs (IPv6)" pings blue fd00::3
ping_ok "bridge: a tagged trunk reaches VLAN 10" trunk 10.0.0.1 -I c0.10 -s 1472 -M "do"
ping_ok "bridge: a tagged trunk reaches VLAN 20" trunk 10.0.0.3 -I c0.20 -s 1472 -M "do"
fails "bridge: the trunk's VLAN 10 is not VLAN 20" pings trunk 10.0.0.3 -I c0.10
like "$(bridge fdb show br br0 dynamic)" "$(link_value blue c0 address) dev p1" "bridge: the child's address is learnt on its port"
iperf_server red
succeeds "bridge: bulk TCP between two children" iperf blue -c 10.0.0.2 -n "$(scale 8M 2M)"
capture trunk c0 "$SCRATCH/tags.pcap"
in_ns blue sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
must answers blue 10.0.0.255 -b
# Who sends a broadcast hears it first.
# shellcheck disable=SC2317 # called by name
tagged() { captured "$SCRATCH/tags.pcap" -e | grep 'vlan 10'; }
wait_until 5 tagged
capture_end
like "$(captured "$SCRATCH/tags.pcap" -e)" "vlan 10" "bridge: a broadcast reaches the trunk with its tag"
capture green c0 "$SCRATCH/green.pcap" host 10.0.0.2
ip -n blue neigh flush dev c0
must answers blue 10.0.0.2
# What is green's own, so that the tap has something to show.
pings green 10.0.0.2 >/dev/null
capture_end
like "$(captured "$SCRATCH/green.pcap")" "who-has 10.0.0.2 tell 10.0.0.3" "bridge: another VLAN's child asks for the address in vain"
is "$(captured "$SCRATCH/green.pcap" | grep -vc 'tell 10.0.0.3')" 0 "bridge: and sees none of what others send there"
succeeds "bridge: a port leaves" ip link set p1 nomaster
fails "bridge: and is cut off" pings blue 10.0.0.2
reset_net

# --- Devices above, on both sides --------------------------------------------
child l2 blue 1
for ns in - blue; do
	dev=p1 last=1
	[ "$ns" = blue ] && dev=c0 last=2
	must ip_ns "$ns" link add link "$dev" name vlan5 type vlan id 5
	address "$ns" vlan5 "10.5.0.$last/24" "fd05::$last/64"
	must ip_ns "$ns" link add link "$dev" name svlan7 type vlan proto 802.1ad id 7
	must ip_ns "$ns" link set svlan7 up
	must ip_ns "$ns" link add link svlan7 name cvlan8 type vlan id 8
	address "$ns" cvlan8 "10.8.0.$last/24"
	if can_link macvlan >/dev/null 2>&1 || ip link help macvlan >/dev/null 2>&1; then
		must ip_ns "$ns" link add link "$dev" name mac0 type macvlan mode bridge
		address "$ns" mac0 "10.6.0.$last/24" "fd06::$last/64"
	fi
done
# Without this every device of blue answers ARP for every address of blue, and
# the last answer wins.
in_ns blue sysctl -qw net.ipv4.conf.all.arp_ignore=1
ping_ok "VLAN over the pair (IPv4)" - 10.5.0.2 -s 1472 -M "do"
ping_ok "VLAN over the pair (IPv6)" - fd05::2
# The inner tag is in the frame, which is the longest one that has to pass.
ping_ok "VLAN in VLAN over the pair" - 10.8.0.2 -s 1472 -M "do"
ping_ok "macvlan to macvlan (IPv4)" - 10.6.0.2
ping_ok "macvlan to macvlan (IPv6)" - fd06::2
isnt "$(lladdr_of - 10.6.0.2 mac0)" "$(link_value blue c0 address)" "macvlan has an address of its own"
iperf_server blue
succeeds "bulk TCP over a VLAN" iperf - -c 10.5.0.2 -n "$(scale 8M 2M)"
succeeds "bulk TCP over macvlan" iperf - -c 10.6.0.2 -n "$(scale 8M 2M)"
ip -n blue link set c0 down
eventually 5 "a VLAN above follows the carrier" equals LOWERLAYERDOWN link_value - vlan5 operstate
ip -n blue link set c0 up
reset_net

# Each of these wants the device for itself.
child l2 blue 1
if can_load ipvlan; then
	# It has the address of the port: the parent's own stack could be told lies.
	[ "$KIND" != passthru ] || must ip link set p1 type passthru spoofchk off
	must ip link add link p1 name up0 type ipvlan mode l2
	must ip -n blue link add link c0 name up0 type ipvlan mode l2
	address - up0 10.7.0.1/24 fd07::1/64
	address blue up0 10.7.0.2/24 fd07::2/64
	ping_ok "ipvlan to ipvlan (IPv4)" - 10.7.0.2 -s 1472 -M "do"
	ping_ok "ipvlan to ipvlan (IPv6)" blue fd07::1
	ip link del up0
	ip -n blue link del up0
	[ "$KIND" != passthru ] || must ip link set p1 type passthru spoofchk on
else
	skip "no ipvlan" "ipvlan"
fi
if can_load macsec; then
	key=00112233445566778899aabbccddeeff
	for ends in "- p1 blue c0" "blue c0 - p1"; do
		read -r ns dev other_ns other <<<"$ends"
		must ip_ns "$ns" link add link "$dev" name up0 type macsec encrypt on
		must ip_ns "$ns" macsec add up0 tx sa 0 pn 1 on key 01 $key
		must ip_ns "$ns" macsec add up0 rx port 1 address "$(link_value "$other_ns" "$other" address)"
		must ip_ns "$ns" macsec add up0 rx port 1 address "$(link_value "$other_ns" "$other" address)" sa 0 pn 1 on key 01 $key
	done
	address - up0 10.8.0.1/24 fd08::1/64
	address blue up0 10.8.0.2/24 fd08::2/64
	capture blue c0 "$SCRATCH/macsec.pcap" ether proto 0x88e5 or icmp
	ping_ok "MACsec (IPv4)" - 10.8.0.2 -s 1400
	capture_end
	like "$(captured "$SCRATCH/macsec.pcap" icmp | wc -l) $(captured "$SCRATCH/macsec.pcap" ether proto 0x88e5 | wc -l)" '^0 [1-9]' "MACsec: nothing crosses in clear"
	ping_ok "MACsec (IPv6)" blue fd08::1
else
	skip "no MACsec" "MACsec"
fi
reset_net

# Two pairs in a bond at each end.
if can_load bonding; then
	netns_add blue
	for n in 1 2; do pair l2 "p$n" "c$n" blue; done
	for ns in - blue; do
		must ip_ns "$ns" link add bond1 type bond mode active-backup miimon 20
		for n in 1 2; do
			dev=p$n
			[ "$ns" = blue ] && dev=c$n
			succeeds "a bond takes $dev" ip_ns "$ns" link set "$dev" master bond1
		done
	done
	address - bond1 10.9.0.1/24
	address blue bond1 10.9.0.2/24
	eventually 5 "a bond works" pings - 10.9.0.2
	ip link set p1 down
	eventually 5 "a bond works without its first pair" pings - 10.9.0.2
	ip link set p1 up
	ip link set p2 down
	eventually 5 "a bond works without its second pair" pings blue 10.9.0.1
	ip link set p1 down
	fails "a bond is cut off without both" pings - 10.9.0.2
	ip link del bond1
	reset_net
else
	skip "no bonding" "bonding"
fi

# Promiscuous and allmulti reach the device.
child l2 blue 1
must ip -n blue link set c0 promisc on
must ip -n blue link set c0 allmulticast on
like "$(ip -n blue link show c0)" "PROMISC.*ALLMULTI|ALLMULTI.*PROMISC" "promisc and allmulti can be set"
must ip -n blue link set c0 promisc off allmulticast off
reset_net

done_testing
