# SPDX-License-Identifier: GPL-2.0
"""Figures as text: for the terminal and for docs/benchmarks.md."""
from figures import (CELL, FULL, LEAST, NONE, SOME, cell_of, delivery, is_passthru, is_rate,
                     settled)

HEAD = ("path", "value", "generation", "over host", "ratio to host", "ratio to best peer", "note")


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
    if figure.get("spread") is not None:
        notes.append(f"spread {figure['spread']:.1%}")
    if figure.get("ratio_spread") is not None:
        notes.append(f"of the ratio {figure['ratio_spread']:.1%}")
    if figure["lab"] == "uml" and is_overstated(figure):
        notes.append("overstated by this lab")
    return "; ".join(notes)


def _row(figure, host, best):
    mine = delivery(figure)
    over = f"{mine - delivery(host):+,.0f}" if host else "-"
    ratio = figure["ratio_to_host"]
    return (figure["path"], f"{figure['value']:,.0f}", f"{figure['generation']:,.0f}", over,
            f"{ratio:.3f}" if ratio is not None else "-",
            f"{mine / best:.3f}" if best and best > 0 and mine > 0 else "-", _note(figure))


def rows(figures, absent=()):
    """Rows of one cell; `absent` are the paths that this tree does not have."""
    host = next((f for f in figures if f["path"] == "host"), None)
    choose = max if is_rate(figures[0]) else min
    best = choose((delivery(f) for f in figures if is_peer(f["path"])), default=None)
    found = [_row(f, host, best) for f in figures]
    have = {f["path"] for f in figures}
    beside = figures[0]["work"] == "rx-udp" and figures[0]["children"] == 1
    return found + [(path, "-", "-", "-", "-", "-", "not there yet") for path in absent
                    if path not in have and (beside or not path.startswith("host+"))]


def absent_paths(missing):
    """Paths that the kernel could not make."""
    return list(dict.fromkeys(m["path"] for m in missing if m["cell"] is None))


def no_figure(missing, cell):
    """Why some paths have no figure for a cell."""
    for entry in missing:
        if entry["cell"] and cell_of(settled(dict(entry["cell"]))) == cell:
            yield entry["path"], entry["why"]


def terminal(figures, missing):
    """The whole report as plain text."""
    absent = absent_paths(missing)
    for cell, members in cells(figures).items():
        yield f"{title(cell)}: {members[0]['unit']}"
        table = [HEAD, *rows(members, absent)]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
        for row in table:
            text = "  ".join(f"{row[i]:>{widths[i]}}" for i in range(1, len(HEAD) - 1))
            yield f"  {row[0]:<{widths[0]}}  {text}  {row[-1]}".rstrip()
        for path, why in dict(no_figure(missing, cell)).items():
            yield f"  {path}: no figure: {why}"
        yield ""


def markdown(figures, missing):
    """One cell as a table for the docs."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "| --- |" + " ---: |" * (len(HEAD) - 2) + " --- |"
    for row in rows(figures, absent_paths(missing)):
        yield "| " + " | ".join(row) + " |"
