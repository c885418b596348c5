#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --host
#
# The demo is the first thing that a stranger runs: it goes through all of its
# story, and ends with what a packet costs by each path.

set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
. tests/tap.sh

[ "${LAB:-stock}" = stock ] || skip_all "the demo is on the stock kernel"

scripts/demo/run >"$SCRATCH/story" 2>&1
is "$?" 0 "the demo ends well" || diag "$(tail -n 60 "$SCRATCH/story")"

# What a chapter shows was checked there: a line that begins with "ok" each.
chapters() { sed -n 's/^\x1b\[1m\(.*\)\x1b\[0m$/\1/p' "$SCRATCH/story"; }
is "$(chapters)" "Two children, each with a network of its own
Real traffic by the full path, IPv4 and IPv6
What is separate
The same traffic by each shortcut
A hardware device beside it
Tunnels, made by the children themselves
What the devices counted
And away" "it tells all of its story"
between "$(grep -c '^  ok  ' "$SCRATCH/story")" 40 200 "and what it shows it has seen"
for shortcut in none device route netfilter socket,route output; do
	like "$(<"$SCRATCH/story")" "shortcut $shortcut"$'\n'"  ok  TCP" "traffic by shortcut $shortcut"
done
is "$(grep -c '^  ok  UDP .*connected socket' "$SCRATCH/story")" 14 "and UDP by each, in IPv4 and IPv6, in and out"
costs() { # WORK: the rows of its table, but its head
	sed -n "/^$1, /,/^\$/p" "$SCRATCH/story" | grep -E '^  [a-z0-9-]+ +[0-9,]+ +[0-9,]+ +[+-][0-9,]+ +[0-9.]+' | awk '{ print $1 }' | sort | tr '\n' ' '
}
is "$(costs rx-udp)" "host ipvlan-l2 macvlan netkit passthru passthru-all passthru-device passthru-netfilter passthru-route passthru-socket veth " \
	"what a packet costs that comes in, by each path"
is "$(costs tx-udp)" "host ipvlan-l2 macvlan netkit passthru passthru-all passthru-output veth " "... and one that goes out"

plan
