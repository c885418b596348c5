#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --append ipv6.disable=1
#
# A kernel that was told to have no IPv6: its namespaces have none of IPv6's tables, and
# yet a child may send what looks like it, and so may anyone on the uplink. Nobody takes
# that, and it does no harm; IPv4 goes by each shortcut as ever.

. "$(dirname "$0")/lib.sh"
load_module

# The pair, and a host outside.
world() { # MODE SET
	ip netns add blue
	ip netns add outside
	must ip link add p1 type passthru mode "$1" shortcut "$2" peer name c0 netns blue
	must ip link add up0 type veth peer name out0 netns outside
	address - p1 10.0.1.1/24
	address blue c0 10.0.1.2/24
	address - up0 192.0.2.1/24
	address outside out0 192.0.2.2/24
	must ip -n blue route add default via 10.0.1.1
	must ip -n outside route add default via 192.0.2.1
	must sysctl -qw net.ipv4.ip_forward=1
	runs - p1
	runs - up0
}

# ipv6_packets NS DEV TO SOURCE DESTINATION: one of UDP, TCP and ICMPv6 each, and one that has
# no end, to the link layer's address of TO.
# shellcheck disable=SC2317 # called by name
ipv6_packets() {
	in_ns "$1" python3 - "$2" "$3" "$4" "$5" <<-'END'
		import errno
		import socket
		import struct
		import sys

		dev, to, source, destination = sys.argv[1:]
		mac = bytes.fromhex(to.replace(":", "")) if ":" in to else b""
		ends = [socket.inet_pton(socket.AF_INET6, end) for end in (source, destination)]
		sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
		for protocol, payload in (
		    (17, struct.pack("!4H", 9, 9, 8, 0xFFFF)),
		    (6, struct.pack("!2H2I4H", 9, 9, 1, 0, 0x5002, 1000, 0, 0)),
		    (58, struct.pack("!2B3H", 128, 0, 0, 1, 1)),
		    (0, bytes(8)),
		):
		    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
		    try:
		        sock.sendto(header + b"".join(ends) + payload, (dev, 0x86DD, 0, 0, mac))
		    except OSError as error:
		        if error.errno != errno.ENOBUFS:  # what is dropped as the device sends it
		            raise
	END
}

spoofed() { in_ns blue ethtool -S c0 | sed -n 's/^ *tx_drop_spoofed: //p'; }

# by_set MODE SET
by_set() {
	local name="$1, $2" before
	world "$1" "$2"
	ping_ok "$name: IPv4 into the child" outside 10.0.1.2 -c 5 -i 0.02
	ping_ok "$name: and out of it" blue 192.0.2.2 -c 5 -i 0.02
	before=$(spoofed)
	succeeds "$name: a child sends what looks like IPv6" \
		ipv6_packets blue c0 "$(link_value - p1 address)" 2001:db8:1::1 2001:db8:2::2
	is "$(($(spoofed) - before))" 4 "$name: none of it is from an address of its own"
	must ip link set p1 type passthru spoofchk off
	before=$(counter - p1 rx packets)
	succeeds "$name: and where nobody asks" \
		ipv6_packets blue c0 "$(link_value - p1 address)" 2001:db8:1::1 2001:db8:2::2
	# Neighbours may talk meanwhile.
	between "$(($(counter - p1 rx packets) - before))" 4 6 "$name: the parent receives it"
	before=$(counter blue c0 rx packets)
	succeeds "$name: and from outside" \
		ipv6_packets outside out0 "$(link_value - up0 address)" 2001:db8:2::2 fd00:1::2
	ping_ok "$name: IPv4 as before" outside 10.0.1.2 -c 3 -i 0.02
	between "$(($(counter blue c0 rx packets) - before))" 3 5 "$name: and that alone comes to the child"
	reset_net
}

fails "this kernel has no IPv6" test -e /proc/sys/net/ipv6
for mode in l3 l2; do
	for set in none device route netfilter socket output all; do
		by_set "$mode" "$set"
	done
done

done_testing
