# SPDX-License-Identifier: GPL-2.0
"""The measured part of a work; in a profile, with marks around it."""
import os

from netns import Lost, run

PROFILING = False
COUNTED = os.environ.get("LAB") != "uml"    # instructions, which must not differ
AGREE, MOST = 0.005, 4


def _mark():
    run(os.environ.get("BENCH_BUILD", "/passthru/build/bench") + "/load", "mark")


def prepare():
    """Before what is measured begins, and while others still run: in a profile, what was written to
    the disk is not to go there meanwhile.
    """
    if PROFILING:
        os.sync()


def steady(work, count):
    """Runs work(count) until two results in a row agree: caches have settled then.

    What work returns has a `value`.
    """
    last, values = None, []
    for _ in range(MOST):
        result = work(count)
        values.append(f"{result.value:,.0f}")
        if last and abs(result.value / last.value - 1) <= AGREE:
            return result
        last = result
    raise Lost(f"does not settle: {', '.join(values)}")


def profiled(work, count):
    """Runs work(count) three times, the last time three times as long.

    The profile is the difference of the longer window and the shorter ones: what a start, an end
    and the marks cost is in all.
    """
    _mark()
    for times in (1, 1, 3):
        result = work(times * count)
        _mark()
    return result


def plain(work, cell):
    """Runs work(count), as the lab wants it; nothing is marked."""
    if COUNTED:
        return steady(work, cell["count"])
    results = sorted((work(cell["count"]) for _ in range(cell.get("repeat", 1))),
                     key=lambda result: result.value)
    return results[len(results) // 2]


def measured(work, cell):
    """Runs work(count), as the lab and the cell want it."""
    return profiled(work, cell["count"]) if PROFILING else plain(work, cell)
