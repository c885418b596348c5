# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The world of the tests of shortcuts, for tests that sourced lib.sh:
#
#	outside --- up0 [ parent ] p1 === c0 blue
#	                           p2 === c0 red
#
# The outside host is a namespace behind a veth, 192.0.2.2 and 2001:db8:2::2;
# children are those of child(). tools/world.py has the same addresses.

# outside_host: the uplink and who is behind it.
outside_host() {
	netns_add outside
	must ip link add up0 type veth peer name out0 netns outside
	address - up0 192.0.2.1/24 2001:db8:2::1/64
	address outside out0 192.0.2.2/24 2001:db8:2::2/64
	must ip -n outside route add default via 192.0.2.1
	must ip -n outside -6 route add default via 2001:db8:2::1
	forwarding_on -
}

# talkative NS: every refusal is to be heard of, not one a second.
talkative() {
	must in_ns "$1" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
}

# world MODE: all of it.
world() {
	local mode=$1
	outside_host
	child "$mode" blue 1
	child "$mode" red 2
	local ns
	for ns in - outside blue red; do talkative "$ns"; done
	must sysctl -qw net.ipv4.route.error_cost=0
	eventually "$PATIENCE" "the world is there: IPv4" pings outside 10.0.1.2
	eventually "$PATIENCE" "the world is there: IPv6" pings outside fd00:2::2
}

# steady_code: somebody has hooks at every place already. Whether there are any is
# a jump that the kernel writes into its own code, and an emulated CPU can take
# the breakpoint that stands there meanwhile for one that nobody set ("Oops:
# int3"): a fault of QEMU without KVM that changes under load would run into.
steady_code() {
	local family
	netns_add steady
	for family in ip ip6; do
		printf 'table %s steady {\n' "$family"
		printf '\tchain %s { type filter hook %s priority 0; }\n' \
			a prerouting b input c output d postrouting
		printf '}\n'
	done >"$SCRATCH/steady.nft"
	# Nor is it to be written that somebody looks at what devices receive.
	printf 'table netdev steady {\n\tchain a { type filter hook ingress device lo priority 0; }\n}\n' >>"$SCRATCH/steady.nft"
	must in_ns steady nft -f "$SCRATCH/steady.nft"
}

# tool NAME [ARG...]: a tool of the tests, its results ours.
tool() {
	local name=$1
	shift
	from_tool "" python3 -S "$TOOLS/$name.py" "$@"
}
