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
from_tool "" python3 tests/tools/figures.py "$figures"
taken() { # WORK: what the figure of a path with a shortcut for one direction says of it
	python3 -c 'import json, sys
print({f["taken"] for f in json.load(open(sys.argv[1]))
       if f["path"] == "passthru-route" and f["work"] == sys.argv[2] and f["firewall"] == "none"})' \
		"$figures" "$1"
}
is "$(taken rx-udp)" "{1.0}" "what comes in took the shortcut"
like "$(taken tcp-rr)" "0[.](4[5-9]|5)" "... and of requests and responses one direction did"
is "$(<"$SCRATCH/results/stock-quick/missing.json")" "[]" "nothing is without a figure"
for file in report.txt figures.json runs.json; do
	succeeds "the results have $file" test -s "$SCRATCH/results/stock-quick/$file"
done
like "$(cat "$SCRATCH/results/stock-quick/report.txt")" "over host.*best peer" "the report compares with host and peers"
is "$(find "$SCRATCH/results" -name '*.svg' -size +1k | wc -l)" \
	"$(find "$SCRATCH/results" -name '*.png' -size +1k | wc -l)" "each picture is there as SVG and PNG"
isnt "$(find "$SCRATCH/results" -name '*.svg' | wc -l)" 0 "there are pictures"

# What is made of nanoseconds: by figures that are made up, for those of a lab differ each time.
from_tool "native: " python3 tests/tools/native_report.py "$SCRATCH/native"

# Contestants that cannot have a figure: packets that a child never sees, a shortcut that there
# is not.
cat >"$SCRATCH/paths.toml" <<'END'
[[path]]
name = "host"
kind = "host"

[[path]]
name = "astray"
kind = "pair"
link = "veth"
route = "local"

[[path]]
name = "passthru-teleport"
kind = "pair"
link = "passthru"
shortcut = "teleport"
END
cat >"$SCRATCH/plan.json" <<'END'
{"lab": "stock", "rounds": 1, "counts": "instructions", "cells": [{"work": "rx-udp", "ip": 4, "connected": false,
 "size": 60, "flows": 1, "children": 1, "firewall": "none", "count": 500, "warm": 100}]}
END
succeeds "paths without a figure do not end a run" scripts/lab run --lab stock --icount --in "$SCRATCH/paths.toml" \
	--in "$SCRATCH/plan.json" --out "$SCRATCH/none" -- env BENCH_PATHS=paths.toml bench/guest/run plan.json
each() { # FILE FIELD: of each line, with its path
	python3 -c 'import json, sys
for line in open(sys.argv[1]):
    line = json.loads(line)
    print(line["path"], line[sys.argv[2]], sep=": ")' "$SCRATCH/none/$1" "$2"
}
is "$(each figures.jsonl delivered)" "host: 500" "who delivers has one"
like "$(each missing.jsonl why)" "astray: [^"$'\n'"]*delivered 0 of" "a path that loses packets has none, and why"
like "$(each missing.jsonl why)" "passthru-teleport: [^"$'\n'"]*teleport" "nor one by a shortcut that is not there"

# PATH is the shell's word, too.
profile=$(make -s profile PATH=passthru-route BENCHFLAGS='--count 500 --top 25')
like "$profile" "^passthru-route: [0-9,]+ instructions per packet" "a profile says what a packet takes"
like "$profile" "before_routing.* \[passthru\]" "... and where in the module"
like "$profile" "__netif_receive_skb_core" "... and in the kernel"
like "$(bench/profile passthru-nothing 2>&1)" "passthru-nothing" "a path that there is not is named"
like "$(bench/run --paths passthru-nothing 2>&1)" "^bench: passthru-nothing: no such path" "... and refused at once"

plan
