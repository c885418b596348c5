# SPDX-License-Identifier: GPL-2.0
"""Writes docs/benchmarks.md and its pictures from a full run."""
import shutil
from pathlib import Path

import pictures
import plan
import table
from figures import CELL, FIREWALLS, cell_of, delivery, settled

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = {"stock": "benchmarks.md", "uml": "benchmarks-uml.md"}

INTRODUCTION = {
    "stock": """\
# Benchmarks: instructions

Every path from a parent's uplink to a child, beside the host itself, measured
on one kernel. Figures are guest instructions: Debian's stock kernel
runs in QEMU with `-icount`, where the clock advances by one nanosecond for each
instruction, so a figure is the same at every run to within 0.5 %. It leaves
out what caches and locks cost; `make bench LAB=uml` measures time.

This file is generated. To measure again:

```
make bench                  # all of this; about half an hour on two cores
make bench QUICK=1          # the main figures, within two minutes
make bench JSON=FILE        # one object a figure
make profile PATH=veth      # where one path's instructions go
```

`bench/README.md` says what is measured and how to read it.
""",
    "uml": """\
# Benchmarks: native time

The same paths as in [the figures by instructions](benchmarks.md), timed in User
Mode Linux on the machine's own processor: medians of interleaved rounds, with
the spread between the fastest and the slowest. UML has no BPF JIT and
overstates every softirq hop (veth, netkit, bridges), so compare only paths
without one here: host, ipvlan, macvlan and passthru with shortcuts.

This file is generated. To measure again: `make bench LAB=uml`.
""",
}


def _udp(work, **keys):
    return {"work": work, "connected": False, "size": 60, "children": 1, "firewall": "none",
            "sources": None} | keys


SUMMARY = {
    "rx-udp unconnected": _udp("rx-udp"),
    "connected": _udp("rx-udp", connected=True),
    "random sources": _udp("rx-udp", sources="random"),
    "20 rules": _udp("rx-udp", firewall="filter20"),
    "tcp-rr": {"work": "tcp-rr", "firewall": "none"},
    "stream in": {"work": "tcp-stream", "direction": "in", "firewall": "none"},
    "stream out": {"work": "tcp-stream", "direction": "out", "firewall": "none"},
    "tx-udp": _udp("tx-udp", connected=True),
    "sibling-rr": {"work": "sibling-rr", "firewall": "none"},
    "sibling-stream": {"work": "sibling-stream", "firewall": "none"},
}


def _matrix(head, names, value):
    """A table with a row for each name."""
    yield "| path | " + " | ".join(str(h) for h in head) + " |"
    yield "| --- |" + " ---: |" * len(head)
    for name in names:
        cells = [value(name, h) for h in head]
        if any(cell is not None for cell in cells):
            shown = ("-" if cell is None else f"{cell:,.0f}" for cell in cells)
            yield f"| {name} | " + " | ".join(shown) + " |"


def _paths(figures):
    return list(dict.fromkeys(f["path"] for f in figures))


def _by_firewall(figures):
    """What a parent's rules cost on each path: a table a work."""
    groups = {}
    for f in figures:
        if f["children"] > 2 or f["flows"] > 1 or f["size"] == 1400 or "cpus" in f or "sources" in f:
            continue
        key = tuple(f.get(k) for k in CELL if k != "firewall")
        groups.setdefault(key, {})[f["path"], f["firewall"]] = f
    for found in groups.values():
        if len({firewall for _, firewall in found}) < 3:
            continue
        first = next(f for (_, firewall), f in found.items() if firewall == "none")
        cell = tuple(first.get(k) for k in CELL)
        yield f"\n### {table.title(cell)}\n\n{first['unit']}, generation subtracted\n"
        yield from _matrix(FIREWALLS, _paths(found.values()), lambda path, firewall: (
            delivery(found[path, firewall]) if (path, firewall) in found else None))


def _growth(figures, ip):
    curves = {path: dict(points) for path, points in pictures.growth(figures, ip).items()}
    if not curves:
        return
    steps = sorted({n for points in curves.values() for n in points})
    yield f"\n### IPv{ip}: instructions a packet by number of children\n"
    yield f"![growth](bench/{{lab}}/growth-ip{ip}.svg)\n"
    yield from _matrix(steps, curves, lambda path, step: curves[path].get(step))


def _summary(figures, ip):
    """Each path's ratio to the host, for the work that matters most."""
    found = {}
    for f in figures:
        for label, wanted in SUMMARY.items():
            if f["ip"] == ip and f["flows"] == 1 and "cpus" not in f and (
                    all(f.get(key) == value for key, value in wanted.items())):
                found.setdefault(f["path"], {})[label] = f["ratio_to_host"]
    if not found:
        return
    yield f"\n### IPv{ip}: delivery as a ratio to the host\n"
    yield "| path | " + " | ".join(SUMMARY) + " |"
    yield "| --- |" + " ---: |" * len(SUMMARY)
    for path, ratios in found.items():
        shown = (ratios.get(label) for label in SUMMARY)
        yield f"| {path} | " + " | ".join("-" if r is None else f"{r:.2f}" for r in shown) + " |"


def _main(figures, missing, lab):
    for cell, members in table.cells(figures).items():
        if pictures.is_main(cell) and cell[CELL.index("children")] < 3:
            yield f"\n### {table.title(cell)}\n\n{members[0]['unit']}\n"
            yield from table.markdown(members, missing)
            for path, why in dict(table.no_figure(missing, cell)).items():
                yield f"\n{path}: no figure ({why})."
            yield f"\n![{table.title(cell)}](bench/{lab}/{pictures.name_of(cell)}.svg)"


def _lives(figures, missing):
    for cell, members in table.cells(figures).items():
        if members[0]["work"] in ("create", "remove", "memory"):
            yield f"\n### {table.title(cell)}\n\n{members[0]['unit']}\n"
            yield from table.markdown(members, missing)


def _not_run(lab, figures):
    """Cells of a full run that these figures do not hold."""
    full = plan.native if lab == "uml" else plan.full
    have = {cell_of(f) for f in figures}
    have |= {cell_of(dict(f, work="lifecycle")) for f in figures if f["work"] == "create"}
    wanted = dict.fromkeys(cell_of(settled(dict(cell)))
                           for ip in (4, 6) for boot in full(ip) for cell in boot["cells"])
    return [table.title(cell) for cell in wanted if cell not in have]


def _one_run(run):
    parts = [f"{key} {', '.join(str(word) for word in run[key])}"
             for key in ("paths", "works", "boots") if run[key]]
    what = "; ".join(parts) if parts else "everything"
    repeated = run["repeated"]
    if repeated["figures"]:
        what += (f" ({repeated['figures']} figures by two boots, at most "
                 f"{repeated['apart']:.2%} apart)")
    wrong = f", **{len(run['wrong'])} boots failed**" if run["wrong"] else ""
    return (f"- {what}: {run['figures']} figures in {run['seconds'] / 60:.0f} minutes, "
            f"source `{run['source']}`{wrong}")


def text(lab, results, note):
    """The whole file."""
    figures, missing = results["figures"], results["missing"]
    yield INTRODUCTION[lab]
    yield f"Kernel {figures[0]['kernel']}, lab `{lab}`, {len(figures)} figures. Measured:\n"
    yield from map(_one_run, results["runs"])
    if len(results["runs"]) > 1:
        yield "\nA figure is of the last run that measured it."
    yield ""
    have = {f["path"] for f in figures}
    absent = [path for path in table.absent_paths(missing) if path not in have]
    if absent:
        yield f"Not there yet: {', '.join(absent)}.\n"
    if note:
        yield f"{note}\n"
    left_out = _not_run(lab, figures)
    if left_out:
        yield "**Not a full run.** No figure of any path:\n"
        yield from (f"- {name}" for name in left_out)
        yield ""
    yield "## In short"
    for ip in (4, 6):
        yield from _summary(figures, ip)
    yield "\n## The main figures"
    yield from _main(figures, missing, lab)
    sections = (("Growth", [line.replace("{lab}", lab) for ip in (4, 6)
                            for line in _growth(figures, ip)]),
                ("To make, keep and remove a child", list(_lives(figures, missing))),
                ("What the parent's rules cost", list(_by_firewall(figures))))
    for head, lines in sections:
        if lines:
            yield f"\n## {head}"
            yield from lines


def write(folder, lab, results, note=None):
    """The text and the pictures of a full run."""
    shown = DOCS / "bench" / lab
    shutil.rmtree(shown, ignore_errors=True)
    shown.mkdir(parents=True)
    for picture in sorted(folder.glob("*.svg")) + sorted(folder.glob("*.png")):
        shutil.copy(picture, shown)
    lines = "\n".join(text(lab, results, note))
    (DOCS / FILES[lab]).write_text(lines.rstrip() + "\n", encoding="utf-8")
