# SPDX-License-Identifier: GPL-2.0
"""Figures as text: for the terminal and for docs/benchmarks.md."""
from figures import (CELL, FULL, LEAST, LIVES, NONE, SOME, cell_of, delivery, is_passthru,
                     is_rate, settled)

HEAD = ("path", "value", "generation", "over host", "ratio to host", "ratio to best peer", "note")
# Of several rounds.
TIMED = ("path", "median", "generation", "over host", "ratio to host", "ratio to best peer",
         "spread", "ratio's spread", "note")
STEADY = 0.1        # of the rounds' ratios


def cells(figures):
    """Figures by cell, in the order they came."""
    found = {}
    for figure in figures:
        found.setdefault(cell_of(figure), []).append(figure)
    return found


def title(cell):
    """A cell in words."""
    c = dict(zip(CELL, cell))
    words = [c["work"], f"IPv{c['ip']}"]
    if c["work"].endswith("udp"):
        words += ["connected" if c["connected"] else "unconnected", f"{c['size']} bytes"]
    if c["direction"]:
        words.append("to the child" if c["direction"] == "in" else "from the child")
    if c["flows"] > 1 and c["flows"] != c["children"]:
        words.append(f"{c['flows']} flows")
    if c["sources"]:
        words.append(f"{c['sources']} sources")
    if c["children"] > 1:
        words.append(f"{c['children']} children")
    if c["firewall"] != "none":
        words.append(f"parent with {c['firewall']}")
    if c["cpus"]:
        words.append(f"{c['cpus']} CPUs" if c["cpus"] > 1 else "1 CPU")
    return ", ".join(words)


def is_peer(path):
    """Whether a path is one we compare with, the host apart."""
    return path != "host" and not is_passthru(path)


def is_overstated(figure):
    """Whether UML makes a figure look dearer than it is beside others: what hops by softirqs."""
    if figure["lab"] != "uml":
        return False
    if figure["work"] == "remove":      # grace periods, which wait for its slow ticks
        return True
    path = figure["path"]
    hops = path.startswith(("veth", "netkit")) or path in ("passthru", "passthru-output")
    return figure["work"].endswith("stream") or hops and figure["work"].endswith("udp")


def _note(figure):
    notes = []
    if figure.get("seen") in (NONE, SOME):
        notes.append({NONE: "parent's rules not seen",
                      SOME: "parent's rules see some"}[figure["seen"]])
    taken = figure.get("taken")
    if taken is not None and taken < FULL:
        notes.append("shortcut not taken" if taken < LEAST else f"shortcut taken by {taken:.0%}")
    if is_overstated(figure):
        notes.append("overstated by this lab")
    return "; ".join(notes)


def _over(figure):
    """What a figure has more than the host of its own boot, or a child more than a namespace."""
    ratio, mine = figure["ratio_to_host"], delivery(figure)
    if figure["work"] in LIVES:
        return f"{mine:+,.0f}"
    return f"{mine - mine / ratio:+,.0f}" if ratio else "-"


def _share(part, places):
    return f"{part:.{places}%}" if part is not None else "-"


def head(figures):
    """The columns of one cell."""
    return TIMED if any("spread" in f for f in figures) else HEAD


def _row(figure, cost, best, columns):
    ratio = figure["ratio_to_host"]
    shown = {"path": figure["path"], "median": f"{figure['value']:,.0f}",
             "value": f"{figure['value']:,.0f}", "generation": f"{figure['generation']:,.0f}",
             "over host": _over(figure), "ratio to host": f"{ratio:.3f}" if ratio is not None else "-",
             "ratio to best peer": f"{cost / best:.3f}" if best and best > 0 and cost > 0 else "-",
             "spread": _share(figure.get("spread"), 1),
             "ratio's spread": _share(figure.get("ratio_spread"), 1), "note": _note(figure)}
    return tuple(shown[column] for column in columns)


def rows(figures, absent=()):
    """Rows of one cell; `absent` are the paths that this tree does not have."""
    # Growth's paths are of several boots: what they have in common is a host in each.
    by_ratio = all(f["ratio_to_host"] for f in figures)
    costs = [f["ratio_to_host"] if by_ratio else delivery(f) for f in figures]
    choose = max if is_rate(figures[0]) else min
    best = choose((cost for f, cost in zip(figures, costs) if is_peer(f["path"])), default=None)
    columns = head(figures)
    found = [_row(f, cost, best, columns) for f, cost in zip(figures, costs)]
    have = {f["path"] for f in figures}
    beside = figures[0]["work"] == "rx-udp" and figures[0]["children"] == 1
    return found + [(path, *["-"] * (len(columns) - 2), "not there yet") for path in absent
                    if path not in have and (beside or not path.startswith("host+"))]


def absent_paths(missing):
    """Paths that the kernel could not make."""
    return list(dict.fromkeys(m["path"] for m in missing if m["cell"] is None))


def no_figure(missing, cell):
    """Why some paths have no figure for a cell."""
    for entry in missing:
        if entry["cell"] and cell_of(settled(dict(entry["cell"]))) == cell:
            yield entry["path"], entry["why"]


def scaling(figures):
    """By path and IP version, how many times as much two CPUs carry as one does."""
    rates = {(f["path"], f["ip"], f["cpus"]): delivery(f) for f in figures if "cpus" in f}
    return {(path, ip): rate / rates[path, ip, 1] for (path, ip, cpus), rate in rates.items()
            if cpus == 2 and rates.get((path, ip, 1))}


def _scaling(figures):
    found = scaling(figures)
    if found:
        yield "rx-udp, packets/s of 2 CPUs by those of 1:"
        width = max(len(path) for path, _ in found)
        for path in dict.fromkeys(path for path, _ in found):
            both = (f"IPv{ip} {found[path, ip]:.2f}" for ip in (4, 6) if (path, ip) in found)
            yield f"  {path:<{width}}  {'  '.join(both)}"
        yield ""


def unsteady(figures):
    """A warning where rounds differ by much: something else ran."""
    timed = [f["ratio_spread"] for f in figures if "ratio_spread" in f]
    count = sum(spread > STEADY for spread in timed)
    if count:
        yield (f"warning: of {count} of {len(timed)} figures the rounds' ratios to the host are more than "
               f"{STEADY:.0%} apart: was the machine busy?\n")


def terminal(figures, missing):
    """The whole report as plain text."""
    yield from unsteady(figures)
    absent = absent_paths(missing)
    for cell, members in cells(figures).items():
        yield f"{title(cell)}: {members[0]['unit']}"
        table = [head(members), *rows(members, absent)]
        widths = [max(map(len, column)) for column in zip(*table)]
        for row in table:
            text = "  ".join(f"{word:>{width}}" for word, width in zip(row[1:-1], widths[1:]))
            yield f"  {row[0]:<{widths[0]}}  {text}  {row[-1]}".rstrip()
        for path, why in dict(no_figure(missing, cell)).items():
            yield f"  {path}: no figure: {why}"
        yield ""
    yield from _scaling(figures)


def markdown(figures, missing):
    """One cell as a table for the docs."""
    columns = head(figures)
    yield "| " + " | ".join(columns) + " |"
    yield "| --- |" + " ---: |" * (len(columns) - 2) + " --- |"
    for row in rows(figures, absent_paths(missing)):
        yield "| " + " | ".join(row) + " |"
