# SPDX-License-Identifier: GPL-2.0
"""From a guest's raw lines to figures: medians, and ratios to the host."""
import json
from pathlib import Path
from statistics import median

# What makes two figures comparable: all the same but the path.
CELL = ("work", "ip", "connected", "size", "flows", "children", "firewall", "direction", "cpus")
FIELDS = ("work", "path", "ip", "connected", "size", "flows", "children", "firewall", "lab",
          "kernel", "unit", "value", "generation", "sent", "delivered", "ratio_to_host")
# More than the schema asks for, where it is known.
EXTRA = ("direction", "cpus", "seen", "spread")


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
    return path.startswith("passthru")


def delivery(figure):
    """A figure without the load's own share."""
    return figure["value"] - figure["generation"]


def is_rate(figure):
    """Whether more is better."""
    return figure["unit"].endswith("/s")


def _settle(figure):
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
    return merged


def _add_ratio(figure, hosts):
    host = hosts.get(cell_of(figure))
    base = delivery(host) if host else 0
    figure["ratio_to_host"] = round(delivery(figure) / base, 4) if base > 0 else None
    return figure


def _ordered(figure):
    chosen = {key: figure[key] for key in FIELDS}
    for key in ("value", "generation"):
        chosen[key] = round(chosen[key], 2)
    chosen |= {key: figure[key] for key in EXTRA if figure.get(key) is not None}
    return chosen


def collect(folders):
    """All figures of a run, in a stable order."""
    rounds = {}
    for line in lines(folders, "figures.jsonl"):
        figure = _settle(line)
        same = rounds.setdefault((cell_of(figure), figure["path"]), {})
        same.setdefault(figure.get("round", 0), figure)
    figures = [_merge(list(same.values())) for same in rounds.values()]
    hosts = {cell_of(f): f for f in figures if f["path"] == "host"}
    return [_ordered(_add_ratio(figure, hosts)) for figure in figures]


def missing(folders):
    """Paths and cells without a figure, each once."""
    found = {}
    for line in lines(folders, "missing.jsonl"):
        found.setdefault(json.dumps(line, sort_keys=True), line)
    return list(found.values())
