#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The end of a pair, of its child's namespace or of the module, or a move of the port,
# while packets take its shortcuts from all sides: it is an end, and nothing else.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

flood() { # FROM ADDR
	background "$1" python3 -S "$TOOLS/udp.py" flood "$2" 9
}

# shellcheck disable=SC2317 # called by name
taken() { # COUNTER: packets of both ports' children that took it
	{ ethtool -S p1 && ethtool -S p2; } | awk -v name="$1:" '$1 == name { sum += $2 } END { print sum + 0 }'
}

# traffic SET COUNTER...: from all sides, until some have taken each of those ways.
traffic() {
	local words=$1 counter ns
	shift
	steady_code
	world l3
	for ns in blue red outside; do discard_server "$ns"; done
	iperf_server blue
	if [[ $words =~ netfilter ]]; then
		must ip route add local 10.0.1.2 dev p1
		must ip -6 route add local fd00:1::2 dev p1
	fi
	for port in p1 p2; do must ip link set "$port" type passthru shortcut "$words"; done
	background outside iperf3 -c 10.0.1.2 -t 300 >/dev/null 2>&1
	for to in "outside fd00:1::2" "blue 192.0.2.2" "blue fd00:2::2"; do
		flood "${to% *}" "${to#* }"
	done
	for counter; do
		eventually "$PATIENCE" "$words, $end: traffic by $counter" at_least 50 taken "$counter"
	done
}

stop_in() { # NS: whoever is there
	local pid
	for pid in $(ip netns pids "$1"); do kill "$pid"; done 2>/dev/null
	wait_until "$PATIENCE" nobody_in "$1"
}
# shellcheck disable=SC2317 # called by name
nobody_in() { [ -z "$(ip netns pids "$1")" ]; }

# shellcheck disable=SC2317 # called by name
is_gone() { # DEVICE
	[ ! -e "/sys/class/net/$1" ]
}

# move NS: the port goes to another namespace, and on from there.
# shellcheck disable=SC2317 # called by name
move() {
	ip link set p1 netns "$1" && ip -n "$1" link set p1 up && ip -n "$1" link del p1
}

end_of() { # SET
	local name="$1, $end: an end under traffic"
	case $end in
	port) succeeds "$name" ip link del p1 ;;
	child) succeeds "$name" ip -n blue link del c0 ;;
	namespace)
		stop_in blue
		succeeds "$name" ip netns del blue
		;;
	move)
		netns_add other
		succeeds "$name" move other
		;;
	module) succeeds "$name" timeout 300 rmmod passthru ;;
	esac
	eventually "$PATIENCE" "$1, $end: the port is gone" is_gone p1
	end_background
	reset_net
	[ "$end" != module ] || must insmod "$PASSTHRU_KO"
}

# Emulated CPUs are busy with that traffic alone.
for end in port child namespace move module; do
	case $LAB:$end in
	uml:*) sets=(device 'route,socket' 'netfilter,output' all) ;;
	*:port | *:namespace) sets=(all) ;;
	*:child | *:move) sets=('netfilter,output') ;;
	*:module) sets=('route,socket') ;;
	esac
	for words in "${sets[@]}"; do
		case $words in
		device) ways=(rx_device) ;;
		route,socket) ways=(rx_route rx_socket) ;;
		netfilter,output) ways=(rx_netfilter tx_output tx_sibling) ;;
		all) ways=(rx_device tx_output tx_sibling) ;;
		esac
		traffic "$words" "${ways[@]}"
		end_of "$words"
	done
done

done_testing
