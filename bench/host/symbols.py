# SPDX-License-Identifier: GPL-2.0
"""From the plugin's windows to instructions by kernel function."""
import bisect
from collections import Counter

# Less than this per operation is the noise of starts, ends and timers.
NOISE = 1.0
USER_SPACE = "(user space)"


def table(file):
    """Addresses and names of the text symbols, sorted by address."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        address, kind, name, *module = line.split()
        if kind in "tTwW" and not name.startswith(("__pfx_", "__cfi_")):
            found.append((int(address, 16), f"{name} {module[0]}" if module else name))
    found.sort()
    return [address for address, _ in found], [name for _, name in found]


def by_function(window, known):
    """Instructions by function of one window."""
    addresses, names = known
    counts = Counter()
    for line in window.read_text(encoding="ascii").splitlines():
        if line == "full":
            raise OverflowError(f"{window}: more code than the plugin can tell apart")
        address, insns, runs = line.split()
        address = int(address, 16)
        place = bisect.bisect(addresses, address) - 1
        name = names[place] if address >> 63 and place >= 0 else USER_SPACE
        counts[name] += int(insns) * int(runs)
    return counts


def difference(folder, operations):
    """What the longer window has more than the shorter ones, per operation.

    Window 0 is the boot, 1 and 2 are the short runs, 3 is the long one. Of each function the
    shorter run counts that has less of it: a worker of the kernel that happened to run in one of
    them would be missing from the functions that it shares with packets.
    """
    known = table(folder / "kallsyms")
    one, other, long = (by_function(folder / f"window.{n}", known) for n in (1, 2, 3))
    short = one & other
    counts = Counter()
    for name, count in long.items():
        each = (count - short[name]) / operations
        if abs(each) >= NOISE:
            counts[name] = each
    return counts
