# SPDX-License-Identifier: GPL-2.0
"""Writes docs/benchmarks.md and its pictures from a full run."""
import shutil
from pathlib import Path

import pictures
import plan
import table
import targets
from figures import CELL, FIREWALLS, LEAST, NONE, SOME, cell_of, delivery, settled

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = {"stock": "benchmarks.md", "uml": "benchmarks-uml.md"}

INTRODUCTION = {
    "stock": """\
# Benchmarks: instructions

What a packet costs on its way to a child and back: by `passthru`, by the
kernel's other ways, and on the host itself with no namespace. A ratio of 1.00 is
the host's own cost; less is cheaper than no namespace at all.

Figures are instructions on Debian's stock kernel, counted exactly: each is of a
window that agrees with the one before it to within 0.5 %, and so is the generator's
share. To make, keep and remove children is measured once. Caches and locks are not in
the figures. *The run*, at the end, says how far two boots are apart.
[bench/README.md](../bench/README.md) says how it is done and how to read it.

This file is generated: `make bench` measures all of it again (40 to 60 minutes
on two cores), `make bench QUICK=1` the main figures (two minutes), and
`make profile PATH=veth` shows where one path's instructions go.
""",
    "uml": """\
# Benchmarks: native time

The same paths as in [the figures by instructions](benchmarks.md), timed in User
Mode Linux on the machine's own processor: medians of three interleaved rounds.
*Spread* is what lies between the fastest and the slowest round, by the median;
that of the ratio is of each round's ratio to the host of the same round, and so
without what slowed down a whole round.

**Warning: this lab distorts.** UML has no BPF JIT and overstates every softirq hop
(veth, netkit, bridges, passthru without a shortcut, and every TCP stream), so compare
only paths without one here: host, ipvlan, macvlan and passthru with shortcuts. The
others are marked. To turn interrupts off is a system call there.

This file is generated. To measure again: `make bench LAB=uml` (some 30 minutes on two
cores that have nothing else to do; [bench/README.md](../bench/README.md)).
""",
}


def _udp(work, **keys):
    return {"work": work, "connected": False, "size": 60, "children": 1, "firewall": "none",
            "sources": None} | keys


SUMMARY = {
    "UDP in, unconnected": _udp("rx-udp"),
    "UDP in, connected": _udp("rx-udp", connected=True),
    "20 rules, UDP in": _udp("rx-udp", firewall="filter20"),
    "NAT and 20 rules, UDP in": _udp("rx-udp", firewall="rules20"),
    "random sources": _udp("rx-udp", sources="random"),
    "UDP out": _udp("tx-udp", connected=True),
    "20 rules, UDP out": _udp("tx-udp", connected=True, firewall="filter20"),
    "TCP rr": {"work": "tcp-rr", "firewall": "none"},
    "stream in": {"work": "tcp-stream", "direction": "in", "firewall": "none"},
    "stream out": {"work": "tcp-stream", "direction": "out", "firewall": "none"},
    "sibling rr": {"work": "sibling-rr", "firewall": "none"},
    "sibling stream": {"work": "sibling-stream", "firewall": "none"},
    "parent rr": {"work": "parent-rr", "firewall": "none"},
}
LEGEND = {
    "stock": """
The host's cost of the same work is 1.00, the generator's share left out.
*20 rules*: the parent tracks connections and every packet walks 20 rules
(`filter20`; with NAT besides, `rules20`). A star marks paths that carry packets
past the parent's rules, a plus those that carry some past them, a tilde those
whose shortcut was not taken. *random sources*: ever other ones, so that no cache
of them helps (IPv6: the parent has a route by source, for another destination).
*TCP rr*: a request and its response between the outside and the child.
*sibling*: from child to child, *parent*: from child to the parent itself, both beside two
sockets of the host over loopback.
The rows host+passthru-... are packets for the host itself, with a port beside
that they are not for.
""",
    "uml": """
The host's cost of the same work is 1.00, the generator's share left out; in brackets
the spread of the ratio. An exclamation mark: overstated by this lab. A star marks paths
that carry packets past the parent's rules, a plus those that carry some past them, a tilde
those whose shortcut was not taken. *NAT and 20 rules*: `rules20`. *random sources*: ever other
ones, so that no cache of them helps. *sibling*: from child to child, *parent*: from child to the
parent itself, both beside two sockets of the host over loopback.
""",
}


def _mark(figure):
    """What a figure is to be read with."""
    taken = figure.get("taken")
    mark = {NONE: "*", SOME: "+"}.get(figure.get("seen"), "")
    mark += "~" if taken is not None and taken < LEAST else ""
    return mark + ("!" if table.is_overstated(figure) else "")


def _within(figure):
    """How far a ratio differed between rounds; nothing where there was one."""
    spread = figure.get("ratio_spread")
    return "" if spread is None else f"{spread:.1%}"


def _with_ratio(figure):
    """A figure without generation, and its ratio to the host's."""
    ratio, spread = figure["ratio_to_host"], _within(figure)
    behind = f" ({ratio:.2f}{spread and ', ' + spread})" if ratio else ""
    return f"{delivery(figure):,.0f}{_mark(figure)}{behind}"


def _heading(figures):
    """What such figures are, of which some are given."""
    spread = ", its spread" if any("ratio_spread" in f for f in figures) else ""
    return f"{next(iter(figures))['unit']}, generation subtracted (ratio to host{spread})"


def _matrix(head, names, value):
    """A table with a row for each name."""
    yield "| path | " + " | ".join(str(h) for h in head) + " |"
    yield "| --- |" + " ---: |" * len(head)
    for name in names:
        cells = [value(name, h) for h in head]
        if any(cell is not None for cell in cells):
            shown = ("-" if cell is None else cell for cell in cells)
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
        yield f"\n### {table.title(cell)}\n\n{_heading(found.values())}\n"
        yield from _matrix(FIREWALLS, _paths(found.values()), lambda path, firewall: (
            _with_ratio(found[path, firewall]) if (path, firewall) in found else None))


OTHERS = {"1400 bytes, IPv4": (4, {"size": 1400}), "1400 bytes, IPv6": (6, {"size": 1400}),
          "1000 flows, IPv4": (4, {"flows": 1000}), "1000 flows, IPv6": (6, {"flows": 1000})}


def _large_and_many(figures):
    """What large packets and many flows cost."""
    found = {}
    for f in figures:
        for label, (ip, keys) in OTHERS.items():
            wanted = _udp("rx-udp", **({"flows": 1} | keys))
            if f["ip"] == ip and all(f.get(key) == value for key, value in wanted.items()) and (
                    "cpus" not in f):
                found[f["path"], label] = f
    if found:
        yield f"\nrx-udp, unconnected, {_heading(found.values())}\n"
        head = [label for label in OTHERS if any(label == of for _, of in found)]
        yield from _matrix(head, _paths(found.values()), lambda path, label: (
            _with_ratio(found[path, label]) if (path, label) in found else None))


def _throughput(figures):
    """What a path carries on so many CPUs, and what a second one adds."""
    found = {}
    for f in figures:
        if "cpus" in f:
            label = f"IPv{f['ip']}, {f['cpus']} CPU{'s' if f['cpus'] > 1 else ''}"
            found[f["path"], label] = _with_ratio(f)
    if not found:
        return
    for (path, ip), times in table.scaling(figures).items():
        found[path, f"IPv{ip}, 2 by 1"] = f"{times:.2f}"
    unit = next(f["unit"] for f in figures if "cpus" in f)
    yield (f"\nrx-udp, unconnected, a child for each CPU: {unit} of all together while all of them "
           "send (ratio to host, its spread; more is better), and those of two CPUs by those of one\n")
    yield from _matrix(sorted({label for _, label in found}), _paths(figures),
                       lambda path, label: found.get((path, label)))


def _growth(figures, ip):
    curves = {path: dict(points) for path, points in pictures.growth(figures, ip).items()}
    if not curves:
        return
    steps = sorted({n for points in curves.values() for n in points})
    yield f"\n### IPv{ip}: instructions a packet by number of children\n"
    yield f"![growth](bench/{{lab}}/growth-ip{ip}.svg)\n"
    yield from _matrix(steps, curves, lambda path, step: (
        f"{curves[path][step]:,.0f}" if step in curves[path] else None))


def _summary(figures, ip):
    """Each path's ratio to the host, for the work that matters most."""
    found = {}
    for f in figures:
        for label, wanted in SUMMARY.items():
            if f["ip"] == ip and f["flows"] == 1 and "cpus" not in f and (
                    all(f.get(key) == value for key, value in wanted.items())):
                found.setdefault(f["path"], {})[label] = f
    if not found:
        return
    yield f"\n### IPv{ip}\n"
    head = [label for label in SUMMARY if any(label in of for of in found.values())]
    yield from _matrix(head, found, lambda path, label: _ratio(found[path].get(label)))


def _ratio(figure):
    if figure is None or figure["ratio_to_host"] is None:
        return None
    spread = _within(figure)
    return f"{figure['ratio_to_host']:.2f}{_mark(figure)}" + (f" ({spread})" if spread else "")


def _pictures(figures, lab):
    """The pictures of what the summary tells."""
    for cell in table.cells(figures):
        if pictures.is_shown(cell):
            yield f"\n![{table.title(cell)}](bench/{lab}/{pictures.name_of(cell)}.svg)"


def _details(figures, missing, lab):
    """Every figure of the main cells, folded away."""
    for cell, members in table.cells(figures).items():
        if pictures.is_main(cell) and cell[CELL.index("children")] < 3:
            yield f"\n<details><summary>{table.title(cell)}</summary>\n\n{members[0]['unit']}\n"
            yield from table.markdown(members, missing)
            for path, why in dict(table.no_figure(missing, cell)).items():
                yield f"\n{path}: no figure ({why})."
            yield f"\n[picture](bench/{lab}/{pictures.name_of(cell)}.svg)\n\n</details>"


def _lives(figures, missing):
    for cell, members in table.cells(figures).items():
        if members[0]["work"] in ("create", "remove", "memory"):
            yield f"\n### {table.title(cell)}\n\n{members[0]['unit']}\n"
            yield from table.markdown(members, missing)


def _not_run(lab, figures):
    """Cells of a full run that these figures do not hold."""
    boots = plan.native() if lab == "uml" else plan.full()
    have = {cell_of(f) for f in figures}
    have |= {cell_of(dict(f, work="lifecycle")) for f in figures if f["work"] == "create"}
    wanted = dict.fromkeys(cell_of(settled(dict(cell)))
                           for boot in boots for cell in boot["cells"])
    return [table.title(cell) for cell in wanted if cell not in have]


def _one_run(run):
    parts = [f"{key} {', '.join(str(word) for word in run[key])}"
             for key in ("paths", "works") if run[key]]
    if run["boots"] or run["wrong"]:
        parts.append("boots " + ", ".join(run.get("took") or run["boots"]))
    what = "; ".join(parts) if parts else "everything"
    repeated = run["repeated"]
    if repeated["figures"]:
        what += (f" ({repeated['figures']} of them by two boots, all "
                 f"{', '.join(repeated.get('works', ['rx-udp']))}: at most "
                 f"{repeated['apart']:.2%} apart)")
    wrong = f", **without {'; '.join(run['wrong'])}**" if run["wrong"] else ""
    return (f"- {what}: {run['figures']} figures in {run['seconds'] / 60:.0f} minutes, "
            f"source `{run['source']}`{wrong}")


def _without(missing):
    """What was tried and has no figure, and why."""
    groups = {}
    for entry in missing:
        cell = entry["cell"]
        if cell is None:
            groups.setdefault((entry["path"], entry["why"]), {})["everything"] = {}
            continue
        work = f"{cell['work']}, IPv{cell['ip']}"
        extent = [] if cell["firewall"] == "none" else [cell["firewall"]]
        extent += [f"{cell['children']} children"] if cell["children"] > 2 else []
        groups.setdefault((entry["path"], entry["why"]), {}).setdefault(work, {}).update(dict.fromkeys(extent))
    for (path, why), works in groups.items():
        listed = "; ".join(f"{work} ({', '.join(extent)})" if extent else work for work, extent in works.items())
        yield f"- {path}: {why}: {listed}"


NOT_GROWN = """\
Not further: 5000 namespaces take some minutes to make, for each kind of path; a
bridge has at most 1023 ports. Those with passthru-netfilter have local routes, and
a parent that ever had one validates sources more slowly, so they have a boot of
their own. All points of a path's curve are of one boot, and so may differ by as
much as two boots do from the figures above."""
NOT_LIVED = {
    "stock": """\
The others are not: a boot each takes half a minute, and the rest of passthru's sets
make the same devices, addresses and routes (passthru-netfilter's routes apart).""",
    "uml": """\
It is the time that passes, once; to remove them is mostly to wait for grace periods of RCU.
The others are not measured: a boot each takes more than a minute.""",
}


def _not_grown():
    """How far growth is measured, and of whom."""
    reached = {}
    for most, paths in plan.GROWTH.values():
        reached.setdefault(most, []).extend(paths)
    for most, paths in sorted(reached.items(), reverse=True):
        yield f"to {most} children: {', '.join(paths)}"


def _provenance(figures, missing, lab, runs):
    """What was measured, when some of it was not, and by what."""
    yield f"\nKernel {figures[0]['kernel']}, lab `{lab}`, {len(figures)} figures. Measured:\n"
    yield from map(_one_run, runs)
    sources = {f.get("source", runs[0]["source"]) for f in figures}
    if len(sources) > 1:
        yield (f"\n**Of several sources**: {', '.join(f'`{source}`' for source in sorted(sources))}. "
               "A figure is of the last run that measured it.")
    have = {f["path"] for f in figures}
    absent = [path for path in table.absent_paths(missing) if path not in have]
    if absent:
        yield f"\nNot there yet: {', '.join(absent)}."
    tried = list(_without([entry for entry in missing if entry["path"] in have]))
    if tried:
        yield "\nTried, and without a figure:\n"
        yield from tried
    if lab == "stock":
        yield f"\nGrowth is measured {'; '.join(_not_grown())}. {NOT_GROWN}"
    lived = plan.LIVES if lab == "stock" else plan.NATIVE_LIVES
    lives = "; ".join(f"IPv{ip}: {', '.join(paths)}" for ip, paths in lived.items())
    yield f"\nTo make, keep and remove children is measured for {lives}. {NOT_LIVED[lab]}"
    left_out = _not_run(lab, figures)
    if left_out:
        yield "\n<details><summary>Not a full run: no figure of any path of these</summary>\n"
        yield from (f"- {name}" for name in left_out)
        yield "\n</details>"


def text(lab, results, note):
    """The whole file."""
    figures, missing = results["figures"], results["missing"]
    yield INTRODUCTION[lab]
    if _not_run(lab, figures):
        yield "**Not a full run**: see the end for what has no figure.\n"
    if note:
        yield f"{note}\n"
    grown = [line.replace("{lab}", lab) for ip in (4, 6) for line in _growth(figures, ip)]
    sections = (("In short", [LEGEND[lab], *_summary(figures, 4), *_summary(figures, 6)]),
                ("Targets", ["", *targets.markdown(figures, missing)] if lab == "stock" else []),
                ("Pictures", list(_pictures(figures, lab))),
                ("Growth", grown),
                ("Throughput", list(_throughput(figures))),
                ("To make, keep and remove a child", list(_lives(figures, missing))),
                ("Large packets, many flows", list(_large_and_many(figures))),
                ("What the parent's rules cost", list(_by_firewall(figures))),
                ("Figures", list(_details(figures, missing, lab))),
                ("The run", list(_provenance(figures, missing, lab, results["runs"]))))
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
