# SPDX-License-Identifier: GPL-2.0
"""From a guest's raw lines to figures: medians, and ratios to the host."""
import json
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from statistics import median

PATHS = Path(__file__).resolve().parents[1] / "paths.toml"
ORDER = [path["name"] for path in tomllib.loads(PATHS.read_text(encoding="utf-8"))["path"]]

# What makes two figures comparable: all the same but the path.
CELL = ("work", "ip", "connected", "size", "flows", "children", "firewall", "direction", "cpus",
        "sources")
FIELDS = ("work", "path", "ip", "connected", "size", "flows", "children", "firewall", "lab",
          "kernel", "unit", "value", "generation", "sent", "delivered", "ratio_to_host")
# More than the schema asks for, where it is known.
EXTRA = ("direction", "cpus", "sources", "frame", "addresses", "seen", "taken", "spread",
         "ratio_spread", "one_child", "source")
# "seen": whether the parent's rules saw the packets.
ALL, SOME, NONE = "all", "some", "none"
FULL, LEAST = 0.95, 0.05        # of "taken", which handshakes and the like are a part of
WORKS = ("rx-udp", "tx-udp", "tcp-rr", "tcp-crr", "tcp-stream",
         "sibling-rr", "sibling-crr", "sibling-stream", "parent-rr", "create", "memory", "remove")
FIREWALLS = ("none", "conntrack", "filter20", "nat", "rules20", "rules200")
LIVES = ("create", "memory", "remove")


# Boots that others come before where both measured a figure, as they measure some paths only.
LATER = ("growth-*", "again-*")


def lines(folders, name):
    """The JSON lines of a file that each boot left."""
    for folder in folders:
        file = Path(folder) / name
        if file.exists():
            for line in file.read_text(encoding="ascii").splitlines():
                yield json.loads(line)


def cell_of(figure):
    """The key that all paths' figures of one cell share."""
    return tuple(figure.get(key) for key in CELL)


def is_passthru(path):
    """Whether a path is ours."""
    return "passthru" in path


def delivery(figure):
    """A figure without the load's own share."""
    return figure["value"] - figure["generation"]


def is_rate(figure):
    """Whether more is better."""
    return figure["unit"].endswith("/s")


def settled(figure):
    """Flows of many children are as many as the children."""
    if figure["work"] == "rx-udp" and figure["children"] > 1:
        figure["flows"] = figure["children"]
    return figure


def _merge(rounds):
    """One figure of several rounds: medians, and the spread about them."""
    values = sorted(r["value"] for r in rounds)
    merged = dict(rounds[0], value=median(values),
                  generation=median(r["generation"] for r in rounds))
    if len(rounds) > 1 and merged["value"]:
        merged["spread"] = (values[-1] - values[0]) / merged["value"]
        merged["rounds"] = {r["round"]: delivery(r) for r in rounds}
    return merged


def _ratio_spread(figure, host):
    """How far a path's ratio to the host differs from round to round, both of the same round."""
    mine, others = figure.get("rounds", {}), host.get("rounds", {})
    ratios = [mine[n] / others[n] for n in mine if others.get(n, 0) > 0]
    return (max(ratios) - min(ratios)) / median(ratios) if len(ratios) > 1 else None


def _add_ratio(figure, boot):
    """What a figure is beside others of its boot: the host, and the same with one child."""
    host = boot.get((cell_of(figure), "host"))
    base = delivery(host) if host and figure["work"] not in LIVES else 0
    figure["ratio_to_host"] = round(delivery(figure) / base, 6) if base > 0 else None
    if base > 0 and "rounds" in figure and figure is not host:
        figure["ratio_spread"] = _ratio_spread(figure, host)
    if figure["work"] == "rx-udp" and figure["children"] > 1:
        one = boot.get((cell_of(dict(figure, children=1, flows=1)), figure["path"]))
        figure["one_child"] = round(delivery(one), 2) if one else None
    return figure


def _bare(figure, hosts):
    """A child's own share is what a namespace alone costs, which has a boot of its own."""
    host = hosts.get(cell_of(figure))
    return figure | {"generation": host["value"]} if host and figure["work"] in LIVES else figure


def _ordered(figure):
    chosen = {key: figure[key] for key in FIELDS}
    for key in ("value", "generation"):
        chosen[key] = round(chosen[key], 2)
    chosen |= {key: figure[key] for key in EXTRA if figure.get(key) is not None}
    return chosen


def _place(figure):
    """Where a figure stands among others: by cell, and in a cell as measured."""
    return (WORKS.index(figure["work"]), figure["ip"], FIREWALLS.index(figure["firewall"]),
            figure.get("sources") or "", figure.get("cpus") or 0, figure["connected"],
            figure["size"], figure["children"], figure["flows"], figure.get("direction") or "",
            ORDER.index(figure["path"]) if figure["path"] in ORDER else len(ORDER))


def settle(figures):
    """A stable order, and what is of two boots by nature."""
    hosts = {cell_of(f): f for f in figures if f["path"] == "host"}
    return sorted((_ordered(_bare(f, hosts)) for f in figures), key=_place)


def _lost(entries):
    """Which figures something is known against: cells and paths."""
    return {(cell_of(settled(dict(e["cell"]))), e["path"]) for e in entries if e["cell"]}


def merge(old, new, missing):
    """Earlier figures, with those replaced that were measured again, and without those that have
    none any more."""
    lost = _lost(missing)
    known = {(cell_of(f), f["path"]): f for f in old if (cell_of(f), f["path"]) not in lost}
    known |= {(cell_of(f), f["path"]): f for f in new}
    return settle(list(known.values()))


def merge_missing(old, new, found):
    """What has no figure still, after some was measured again."""
    have = {(f["path"], cell_of(f)) for f in found} | {(f["path"], None) for f in found}
    def key(entry):
        return entry["path"], entry["cell"] and cell_of(settled(dict(entry["cell"])))
    have |= {key(entry) for entry in new}
    return [entry for entry in old if key(entry) not in have] + new


def _of_boot(folder, lost):
    """A boot's figures by cell and path: the medians of its rounds, beside each other."""
    rounds = {}
    for line in lines([folder], "figures.jsonl"):
        figure = settled(line)
        same = rounds.setdefault((cell_of(figure), figure["path"]), {})
        same.setdefault(figure.get("round", 0), figure)
    boot = {key: _merge(list(same.values())) for key, same in rounds.items() if key not in lost}
    return {key: _add_ratio(figure, boot) for key, figure in boot.items()}


def _is_later(folder):
    return any(fnmatch(Path(folder).name, name) for name in LATER)


def collect(folders, source):
    """All figures of a run of a state of the tree.

    One that several boots measured is the first one's, but for those in LATER; its ratio is always
    to the host of its boot. What lost packets in one round, or in one boot of two, has none.
    """
    found, lost = {}, _lost(lines(folders, "missing.jsonl"))
    for folder in sorted(folders, key=_is_later):
        for key, figure in _of_boot(folder, lost).items():
            found.setdefault(key, figure | {"source": source})
    return settle(list(found.values()))


def repeated(folders):
    """Figures that two boots of a run measured: how many, of which works, and how far the worst
    are apart."""
    values = {}
    for folder in folders:
        for line in lines([folder], "figures.jsonl"):
            figure = settled(line)
            if not figure.get("round"):
                values.setdefault((figure["path"], cell_of(figure)), []).append(figure["value"])
    apart = {key: max(both) / min(both) - 1 for key, both in values.items() if len(both) > 1}
    works = sorted({cell[CELL.index("work")] for _, cell in apart})
    return {"figures": len(apart), "works": works,
            "apart": round(max(apart.values(), default=0), 5)}


def missing(folders):
    """Paths and cells without a figure, each once."""
    found = {}
    for line in lines(folders, "missing.jsonl"):
        found.setdefault(json.dumps(line, sort_keys=True), line)
    return list(found.values())


def names_of(what, given, known):
    """What is wrong with names that somebody gave; None if nothing is."""
    unknown = [name for name in given or () if name not in known]
    return f"{', '.join(unknown)}: no such {what}: {', '.join(known)}" if unknown else None
