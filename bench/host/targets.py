# SPDX-License-Identifier: GPL-2.0
"""What was aimed at beside what was measured: bench/targets.toml."""
import tomllib
from pathlib import Path

from figures import NONE, delivery, is_passthru, settled

FILE = Path(__file__).resolve().parents[1] / "targets.toml"
PLAIN = {"connected": False, "size": 60, "flows": 1, "children": 1, "firewall": "none"}
HEAD = ("work", "path", "target", "IPv4", "IPv6")


def table():
    """The targets, in the order of the file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))["target"]


def _cell(target):
    """What a figure must be to be of a target's cell."""
    keys = {key: target[key] for key in target if key not in ("title", "at_most", "of")}
    if target["work"].endswith("udp"):
        return settled(PLAIN | keys)
    return {"firewall": "none"} | keys


def _is_of(figure, cell, ip):
    """Whether a figure is of a cell."""
    optional = {"sources": None, "cpus": None} | cell
    return figure["ip"] == ip and all(figure.get(key) == value for key, value in optional.items())


def _members(figures, cell, ip):
    """The figures of a cell, by path."""
    return {f["path"]: f for f in figures if _is_of(f, cell, ip)}


def _best_peer(members, guarded):
    """The cheapest peer, or the cheapest whose packets the parent's rules see."""
    return min((delivery(f) for path, f in members.items()
                if path != "host" and not is_passthru(path)
                and not (guarded and f.get("seen") == NONE)), default=None)


def _base(target, members, path):
    """The cost that is 1, of the boot of the path's own figure."""
    of = target["of"]
    if of.endswith("peer"):
        # Who is not seen by the parent's rules may not choose among those that are.
        seen = members[path].get("seen") != NONE
        return _best_peer(members, of.startswith("guarding") and seen)
    return members[path].get("one_child")


def measured(figures, target, path, ip):
    """A path's ratio, or None where a figure is missing."""
    members = _members(figures, _cell(target), ip)
    if path not in members:
        return None
    if "of" not in target:
        return members[path]["ratio_to_host"]
    base = _base(target, members, path)
    return delivery(members[path]) / base if base and base > 0 else None


def _shown(ratio, limit, lost):
    """A ratio is judged as it is shown: to three places."""
    if ratio is None:
        return "none, missed" if lost else "-"
    return f"{ratio:.3f}" + ("" if holds(ratio, limit) else " missed")


def holds(ratio, limit):
    """Whether a ratio is no more than its target; what has none does not hold."""
    return ratio is not None and round(ratio, 3) <= limit


def is_lost(missing, target, path, ip):
    """Whether a target's figure was tried for, and there is none."""
    return any(entry["path"] == path and (
        entry["cell"] is None or _is_of(settled(dict(entry["cell"])), _cell(target), ip))
        for entry in missing)


def rows(figures, missing):
    """The table's rows, and how many ratios there should be, and how many of them hold."""
    found, ratios = [], []
    for target in table():
        for path, limit in target["at_most"].items():
            both = [measured(figures, target, path, ip) for ip in (4, 6)]
            lost = [is_lost(missing, target, path, ip) for ip in (4, 6)]
            ratios += [(ratio, limit) for ratio, gone in zip(both, lost)
                       if gone or ratio is not None]
            found.append((target["title"], path, f"{limit:.2f}",
                          *(_shown(ratio, limit, gone) for ratio, gone in zip(both, lost))))
    return found, len(ratios), sum(holds(*pair) for pair in ratios)


def markdown(figures, missing):
    """The table for the docs."""
    found, count, held = rows(figures, missing)
    if not count:
        return
    yield f"{held} of {count} ratios are no more than their targets (`bench/targets.toml`).\n"
    yield "| " + " | ".join(HEAD) + " |"
    yield "| --- | --- |" + " ---: |" * 3
    before = None
    for title, *rest in found:
        yield f"| {title if title != before else ''} | " + " | ".join(rest) + " |"
        before = title


def terminal(figures, missing):
    """The table as plain text."""
    found, count, held = rows(figures, missing)
    if not count:
        return
    yield f"targets: {held} of {count} ratios hold"
    for title, path, limit, *both in found:
        if any(ratio != "-" for ratio in both):
            yield f"  {title + ', ' + path:<84} {limit:>5} {both[0]:>13} {both[1]:>13}"
    yield ""
