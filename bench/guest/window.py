# SPDX-License-Identifier: GPL-2.0
"""The measured part of a work; in a profile, with marks around it."""
import os

from netns import run

PROFILING = False


def _mark():
    run(os.environ.get("BENCH_BUILD", "/passthru/build/bench") + "/load", "mark")


def total(count):
    """How many operations measured() makes of so many."""
    return 4 * count if PROFILING else count


def before_last(count):
    """How many of them the result does not tell of."""
    return count if PROFILING else 0


def runs():
    """How many times measured() runs a work."""
    return 2 if PROFILING else 1


def measured(work, count):
    """Runs work(count).

    A profile runs it again three times as long, and takes the difference of
    the two windows: what a start, an end and the marks cost is in both.
    """
    if not PROFILING:
        return work(count)
    _mark()
    work(count)
    _mark()
    result = work(3 * count)
    _mark()
    return result
