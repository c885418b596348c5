#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Ping, TCP and UDP by IPv4 and IPv6, between a parent and its children and
# between two children through the parent, in both modes; a packet between two
# children is one hop older, and traceroute names the parent as that hop. Senders
# that do not copy, and those that want to know when.

. "$(dirname "$0")/lib.sh"
load_module

ping_both() { # NAME NS IPV4 IPV6
	ping_ok "$1: ping IPv4" "$2" "$3" -s 1400
	ping_ok "$1: ping IPv6" "$2" "$4" -s 1400
}

probe_both() { # NAME NS IPV4 IPV6
	probe "$1: " "$2" "tcp:$3" "udp:$3" "tcp:$4" "udp:$4"
}

everything() { # NAME NS IPV4 IPV6
	ping_both "$@"
	probe_both "$@"
}

hop_limit() { # NS ADDR: the TTL or hop limit that the answer of ADDR arrives with
	in_ns "$1" ping -n -c 1 -W "$PATIENCE" "$2" | sed -n 's/.*ttl=\([0-9]*\).*/\1/p'
}

hops() { # NS ADDR: the addresses on the way, one line
	in_ns "$1" traceroute -n -q 1 -m 4 -w "$PATIENCE" "$2" | awk 'NR > 1 { printf "%s ", $2 }'
}

for mode in l3 l2; do
	[ "$KIND:$mode" = veth:l3 ] && continue
	child "$mode" blue 1
	child "$mode" red 2
	forwarding_on -
	for ns in - blue red; do echo_server "$ns"; done

	everything "$mode: parent to child" - 10.0.1.2 fd00:1::2
	everything "$mode: child to parent" blue 10.0.1.1 fd00:1::1
	probe_both "$mode: child to the parent's other address" blue 10.0.2.1 fd00:2::1
	everything "$mode: child to child" blue 10.0.2.2 fd00:2::2
	ping_both "$mode: child to child, the other way" red 10.0.1.2 fd00:1::2

	is "$(hop_limit - 10.0.1.2)" 64 "$mode: TTL is whole between parent and child"
	is "$(hop_limit - fd00:1::2)" 64 "$mode: hop limit is whole between parent and child"
	is "$(hop_limit blue 10.0.2.2)" 63 "$mode: TTL is one less between children"
	is "$(hop_limit blue fd00:2::2)" 63 "$mode: hop limit is one less between children"
	is "$(hops blue 10.0.2.2)" "10.0.1.1 10.0.2.2 " "$mode: traceroute shows the parent (IPv4)"
	is "$(hops blue fd00:2::2)" "fd00:1::1 fd00:2::2 " "$mode: traceroute shows the parent (IPv6)"

	from_tool "$mode: " python3 -S "$TOOLS/senders.py"
	if [ "$KIND" = passthru ]; then
		for port in p1 p2; do must ip link set "$port" type passthru shortcut all; done
		from_tool "$mode: " python3 -S "$TOOLS/senders.py" "with shortcuts"
		for port in p1 p2; do must ip link set "$port" type passthru shortcut none; done
	fi

	sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	fails "$mode: no way between children once the parent does not forward (IPv4)" pings blue 10.0.2.2
	fails "$mode: no way between children once the parent does not forward (IPv6)" pings blue fd00:2::2
	ping_ok "$mode: the parent still answers its child" blue 10.0.1.1
	reset_net
done

done_testing
