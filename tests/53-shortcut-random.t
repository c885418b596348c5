#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lab: --timeout 900
#
# Two parents that differ in nothing but their ports' shortcuts are changed at
# random, both alike: routes, rules, addresses, links, switches, sockets, rules of
# netfilter. After each change the same packets are sent in both, three times, and the
# same becomes of them. PASSTHRU_TEST_RANDOM="--seed 7 --seconds 600" does it
# otherwise than here, and for longer.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

# Every refusal is to be heard of.
must sysctl -qw net.ipv4.route.error_cost=0
steady_code

case $LAB in
uml) steps=300 ;;
debug) steps=30 ;;
*) steps=80 ;;
esac
# Words of a command line.
# shellcheck disable=SC2086
tool shortcut_random ${PASSTHRU_TEST_RANDOM:---steps $steps}

done_testing
