# SPDX-License-Identifier: GPL-2.0
"""Time and memory to make and remove many children.

A child here is a namespace with its device, its address and its routes.
"""
import os
import time

from netns import Namespace, wait_until_removed, write
from path import Network
from works import Figure

_TICK = 1e9 / os.sysconf("SC_CLK_TCK")


def _busy():
    """Nanoseconds that have passed and were not idle."""
    with open("/proc/stat", encoding="ascii") as file:
        idle = sum(int(word) for word in file.readline().split()[4:6]) * _TICK
    return time.monotonic_ns() * os.cpu_count() - idle


def _available():
    write("/proc/sys/vm/drop_caches", "3")
    with open("/proc/meminfo", encoding="ascii") as file:
        values = dict(line.split(":") for line in file)
    return int(values["MemAvailable"].split()[0]) * 1024


def _life(count, make, unmake):
    """Makes and unmakes; returns time, memory and time, each for one child."""
    wait_until_removed()
    memory = _available()
    start = _busy()
    made = make()
    created = _busy() - start
    used = memory - _available()
    start = _busy()
    unmake(made)
    wait_until_removed()
    return created / count, used / count, (_busy() - start) / count


def _bare(count):
    return _life(count, lambda: [Namespace() for _ in range(count)],
                 lambda spaces: [space.close() for space in spaces])


def _children(path, ip, count):
    with Network(path, ip, children=0) as network:
        def remove(_):
            for child in network.children:
                child.rtnl.close()
                child.namespace.close()
            network.children = []
        return _life(count, lambda: network.grow(count), remove)


def lifecycle(path, cell):
    """Figures create, memory and remove of one path.

    To be the only ones of their boot: the kernel keeps memory of children that
    are gone, which would serve those that come later. The host's are those of
    namespaces with nothing in them, the share that all paths have in common.
    """
    count = cell["children"]
    values = _bare(count) if path["kind"] == "host" else _children(path, cell["ip"], count)
    for work, value in zip(("create", "memory", "remove"), values):
        yield work, Figure(value, 0, count, count, None, None)
