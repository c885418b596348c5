# SPDX-License-Identifier: GPL-2.0
"""The measured part of a work; in a profile, with marks around it."""
import os
from statistics import median

from netns import run

PROFILING = False


def _mark():
    run(os.environ.get("BENCH_BUILD", "/passthru/build/bench") + "/load", "mark")


def total(cell):
    """How many operations measured() makes of a cell's count."""
    return cell["count"] * (4 if PROFILING else cell.get("repeat", 1))


def before_last(cell):
    """How many of them the result does not tell of."""
    return cell["count"] if PROFILING else 0


def runs():
    """How many times measured() runs a work."""
    return 2 if PROFILING else 1


def repeated(work, cell):
    """Runs work(count), which returns a time; the median of several where time is noisy."""
    return median(work(cell["count"]) for _ in range(cell.get("repeat", 1)))


def measured(work, cell):
    """Runs work(count).

    A profile runs it again three times as long, and takes the difference of
    the two windows: what a start, an end and the marks cost is in both.
    """
    if not PROFILING:
        return repeated(work, cell) if "repeat" in cell else work(cell["count"])
    _mark()
    work(cell["count"])
    _mark()
    result = work(3 * cell["count"])
    _mark()
    return result
