#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --host
#
# The benchmark itself: a few figures are measured, and what it writes of them is
# what it says that it is. How many instructions a path takes is no matter here.

set -u
cd "$(dirname "$0")/.." || exit
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
. tests/tap.sh
if [ "${LAB:-stock}" != stock ]; then skip_all "it counts on the stock kernel, whatever the lab"; fi

figures=$SCRATCH/figures.json
succeeds "a few figures are measured" make -s bench QUICK=1 PATHS="veth passthru-route" JSON="$figures" \
	BENCHFLAGS="--boots ip4 --works rx-udp,tcp-rr --results $SCRATCH/results"
from_tool() { # the results of a tool that prints them without numbers
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) result 0 "${line#ok }" ;;
		"not ok "*) result 1 "${line#not ok }" ;;
		*) echo "# $line" ;;
		esac
	done < <("$@" 2>&1)
}
from_tool python3 tests/tools/figures.py "$figures"
taken() { # WORK: what the figure of a path with a shortcut for one direction says of it
	python3 -c 'import json, sys
print({f["taken"] for f in json.load(open(sys.argv[1]))
       if f["path"] == "passthru-route" and f["work"] == sys.argv[2] and f["firewall"] == "none"})' \
		"$figures" "$1"
}
is "$(taken rx-udp)" "{1.0}" "what comes in took the shortcut"
like "$(taken tcp-rr)" "0[.](4[5-9]|5)" "... and of requests and responses one direction did"
for file in report.txt figures.json missing.json runs.json; do
	succeeds "the results have $file" test -s "$SCRATCH/results/stock-quick/$file"
done
like "$(cat "$SCRATCH/results/stock-quick/report.txt")" "over host.*best peer" "the report compares with host and peers"
is "$(find "$SCRATCH/results" -name '*.svg' -size +1k | wc -l)" \
	"$(find "$SCRATCH/results" -name '*.png' -size +1k | wc -l)" "each picture is there as SVG and PNG"
isnt "$(find "$SCRATCH/results" -name '*.svg' | wc -l)" 0 "there are pictures"

# PATH is the shell's word, too.
profile=$(make -s profile PATH=passthru-route BENCHFLAGS='--count 500 --top 25')
like "$profile" "^passthru-route: [0-9,]+ instructions per packet" "a profile says what a packet takes"
like "$profile" "before_routing.* \[passthru\]" "... and where in the module"
like "$profile" "__netif_receive_skb_core" "... and in the kernel"
like "$(bench/profile passthru-nothing 2>&1)" "passthru-nothing" "a path that there is not is named"
like "$(bench/run --paths passthru-nothing 2>&1)" "^bench: passthru-nothing: no such path" "... and refused at once"

plan
