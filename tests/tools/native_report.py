#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judges what the benchmark makes of figures in nanoseconds, by figures that are made up.

usage: native_report.py DIR
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "host"))

import docs
import figures
import report as report_of

COMMON = {
    "work": "rx-udp",
    "ip": 4,
    "connected": False,
    "size": 60,
    "flows": 1,
    "children": 1,
    "firewall": "none",
    "lab": "uml",
    "kernel": "7.3.4",
    "unit": "ns/packet",
    "generation": 200,
    "sent": 1000,
    "delivered": 1000,
}
# Nanoseconds of three rounds, the generator's 200 in them.
ROUNDS = {"host": (300, 330, 310), "passthru-route": (280, 296, 288), "veth": (1300, 1300, 1310)}
LOST = dict(COMMON, connected=True)
RATES = {"host": (2000000, 3900000), "passthru-route": (2500000, 3000000)}
# Of the host and of a path: in a boot of all paths, and of one and of ten children in another.
BOOTS = {"growth-shortcuts": ((1, 310, 290), (10, 320, 308)), "receive-ip4": ((1, 300, 280),)}


def report(good, name, *details):
    """Prints one result."""
    print(f"{'ok' if good else 'not ok'} {name}")
    if not good:
        for detail in details:
            print(detail)


def boot(folder, lines, missing=()):
    """What a boot would have left."""
    folder.mkdir(parents=True)
    for name, entries in (("figures", lines), ("missing", missing)):
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / f"{name}.jsonl").write_text(text, encoding="ascii")
    return folder


def native(folder):
    """A boot in User Mode Linux: three rounds, and one path that lost packets in the last of them."""
    lines = [
        dict(COMMON, path=path, round=number, value=value)
        for path, values in ROUNDS.items()
        for number, value in enumerate(values)
    ]
    lines += [dict(LOST, path=path, round=number, value=300) for path in ("host", "veth") for number in range(2)]
    lines += [
        dict(COMMON, path=path, round=number, value=value + number, generation=0, cpus=cpus, children=2, unit="packets/s")
        for path, values in RATES.items()
        for cpus, value in enumerate(values, 1)
        for number in range(3)
    ]
    return boot(folder, lines, [{"path": "veth", "cell": LOST, "why": "delivered 999 of 1000"}])


def stock(folder, name):
    """A boot on the stock kernel."""
    lines = [
        dict(COMMON, path=path, round=0, children=children, value=value, lab="stock", unit="instructions/packet")
        for children, *values in BOOTS[name]
        for path, value in zip(("host", "passthru-route"), values)
    ]
    return boot(folder / name, lines)


def row(text, path, begin):
    """A path's words in the first line about it after another."""
    lines = text[text.index(begin) :].splitlines()
    return next(line for line in lines if line.strip("| ").split()[:1] == [path]).replace("|", "").split()


def judge_figures(found):
    """Medians, spreads and ratios."""
    plain = {f["path"]: f for f in found if not f["connected"] and "cpus" not in f}
    route = plain["passthru-route"]
    report(route["value"] == 288 and plain["host"]["value"] == 310, "a figure is the median of its rounds", plain)
    report(round(route["spread"], 4) == 0.0556, "... and has their spread", route)
    report(route["ratio_to_host"] == 0.8, "its ratio is of the medians", route)
    # 0.8, 0.738 and 0.8: each of a round.
    report(round(route["ratio_spread"], 4) == 0.0769, "... with the spread of each round's ratio", route)
    connected = [f["path"] for f in found if f["connected"]]
    report(connected == ["host"], "who lost packets in one round has no figure", connected)


def judge_text(name, text):
    """What stands in a report of them."""
    lines = row(text, "passthru-route", "ratio's spread")
    want = ["passthru-route", "288", "200", "-22", "0.800", "0.080", "5.6%", "7.7%"]
    report(lines == want, f"{name} has median, ratio, spread and the ratio's spread", lines, want)
    report("median" in text and "UML has no BPF JIT and overstates" in " ".join(text.split()), f"{name} warns of the lab", text[:600])
    marked = [" ".join(row(text, path, "ratio's spread")).endswith("overstated by this lab") for path in ("veth", "passthru-route")]
    report(marked == [True, False], f"{name} marks what the lab overstates, and nothing else", marked)


def judge_boots(folder):
    """What is of which boot."""
    found = figures.collect([stock(folder, name) for name in BOOTS], "made-up")
    values = {(f["path"], f["children"]): f for f in found}
    report(values["passthru-route", 1]["value"] == 280, "a boot of all paths comes before one of growth", found)
    report(values["passthru-route", 1]["ratio_to_host"] == 0.8, "... and its host with it", found)
    report(values["passthru-route", 10]["ratio_to_host"] == 0.9, "a ratio is to the host of the same boot", found)
    report(values["passthru-route", 10].get("one_child") == 90, "growth is from one child of the same boot", found)


def main():
    """All of it, in a directory that is empty."""
    folder = Path(sys.argv[1])
    folders = [native(folder / "ip4")]
    found = figures.collect(folders, "made-up")
    judge_figures(found)
    missing = figures.missing(folders)
    runs = [{"paths": None, "works": None, "boots": None, "source": "made-up", "figures": len(found), "seconds": 60, "took": {}, "repeated": figures.repeated(folders), "wrong": []}]
    results = {"figures": found, "missing": missing, "runs": runs}
    written = "\n".join(docs.text("uml", results, None))
    judge_text("the report", "\n".join(report_of.lines("uml", found, missing)))
    judge_text("the page", written)
    report("0.80 (7.7%)" in written and "veth" in written and "11.00!" not in written, "the page begins with ratios", written[:2500])
    throughput = row(written[written.index("## Throughput") :], "passthru-route", "2 by 1")
    report(throughput[-1] == "1.20", "two CPUs stand beside one", throughput)
    judge_boots(folder)


if __name__ == "__main__":
    main()
