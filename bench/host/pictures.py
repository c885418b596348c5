# SPDX-License-Identifier: GPL-2.0
"""Which figures are drawn, and what the files are called."""
from figures import CELL, delivery


def name_of(cell):
    """A cell's file name, without its ending."""
    c = dict(zip(CELL, cell))
    words = [c["work"]]
    if c["work"].endswith("udp"):
        words += ["connected" if c["connected"] else "unconnected", str(c["size"])]
    words += [c["direction"] or "", f"{c['flows']}flows" if c["flows"] > 1 else "",
              f"{c['sources']}-sources" if c["sources"] else "",
              c["firewall"] if c["firewall"] != "none" else "", f"ip{c['ip']}",
              f"{c['cpus']}cpus" if c["cpus"] else ""]
    return "-".join(word for word in words if word)


def is_main(cell):
    """Whether a cell is one of those that the docs list in full."""
    c = dict(zip(CELL, cell))
    if c["work"] == "rx-udp":
        # A child for each CPU is what throughput is measured with.
        one = c["cpus"] or c["children"] == 1 and c["flows"] == 1
        return one and c["size"] < 100 and c["firewall"] in ("none", "filter20")
    if c["work"] == "tx-udp":
        return c["connected"] and c["size"] < 100 and c["firewall"] in ("none", "filter20")
    return c["firewall"] == "none"


def is_drawn(cell):
    """Whether a cell gets bars."""
    return is_main(cell)


def is_shown(cell):
    """Whether its bars stand in the docs; the others are there to be opened."""
    c = dict(zip(CELL, cell))
    return (is_main(cell) and c["ip"] == 4 and not c["sources"] and c["children"] < 3
            and c["work"] not in ("tcp-crr", "sibling-crr", "create", "memory", "remove"))


def growth(figures, ip):
    """Points (children, delivery) of each path that has more than one, all of one boot."""
    curves = {}
    for f in figures:
        if (f["work"] == "rx-udp" and f["ip"] == ip and f["flows"] == f["children"]
                and not f["connected"] and f["firewall"] == "none" and f["size"] < 100
                and "cpus" not in f and "sources" not in f):
            curve = curves.setdefault(f["path"], {})
            curve[f["children"]] = delivery(f)
            if "one_child" in f:    # not what another boot says of one
                curve[1] = f["one_child"]
    return {path: list(curve.items()) for path, curve in curves.items() if len(curve) > 1}
