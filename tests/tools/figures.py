#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judges a file of figures that the benchmark wrote.

usage: figures.py FILE
"""

import json
import sys

# What bench/README.md says that each figure has, and of which type that is.
FIELDS = {
    "work": str,
    "path": str,
    "ip": int,
    "connected": bool,
    "size": int,
    "flows": int,
    "children": int,
    "firewall": str,
    "lab": str,
    "kernel": str,
    "unit": str,
    "value": (int, float),
    "generation": (int, float),
    "sent": int,
    "delivered": int,
    "ratio_to_host": (int, float),
}
CELL = ("work", "ip", "connected", "size", "flows", "children", "firewall")


def report(good, name, *details):
    """Prints one result."""
    print(f"{'ok' if good else 'not ok'} {name}")
    if not good:
        for detail in details:
            print(detail)


def cost(figure):
    """Delivery alone."""
    return figure["value"] - figure["generation"]


def main():
    """All that can be told from the figures themselves."""
    with open(sys.argv[1], encoding="ascii") as file:
        figures = json.load(file)
    wrong = [(figure.get("path"), name) for figure in figures for name, kind in FIELDS.items() if not isinstance(figure.get(name), kind)]
    report(not wrong and figures, "each figure has every field", wrong[:5])
    lost = [figure for figure in figures if figure["delivered"] != figure["sent"] or not figure["sent"]]
    report(not lost, "every packet of each figure was delivered", lost[:5])
    free = [figure for figure in figures if not 0 < figure["generation"] < figure["value"]]
    report(not free, "generation is a part of each figure", free[:5])
    hosts = {tuple(figure[name] for name in CELL): figure for figure in figures if figure["path"] == "host"}
    off = []
    for figure in figures:
        host = hosts.get(tuple(figure[name] for name in CELL))
        if not host or abs(figure["ratio_to_host"] - cost(figure) / cost(host)) > 0.002:
            off.append(figure)
    report(not off, "ratios are of delivery alone", off[:5])
    for path in ("host", "veth", "passthru-route"):
        works = {figure["work"] for figure in figures if figure["path"] == path}
        report(works == {"rx-udp", "tcp-rr"}, f"{path} has its figures", works)
    ratios = {
        figure["path"]: figure["ratio_to_host"]
        for figure in figures
        if figure["work"] == "rx-udp" and not figure["connected"] and figure["firewall"] == "none"
    }
    report(ratios["host"] == 1 < ratios["veth"], "a second stack costs more than none", ratios)


if __name__ == "__main__":
    main()
