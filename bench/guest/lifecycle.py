# SPDX-License-Identifier: GPL-2.0
"""Time and memory to make and remove many children.

A child here is a namespace with its device, its address and its routes. The
control is the same number of namespaces with nothing in them.
"""
import os
import time

from netns import Namespace, run, write
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


def _cleaned_up():
    """Waits until the kernel has removed every namespace let go so far.

    It removes them in batches, one batch after the other, and devices before
    the rest. When a device of the last namespace is gone, its batch is under
    way; when one of a namespace let go after that is gone, it is done.
    """
    for _ in range(2):
        last = Namespace()
        run("ip", "link", "add", "last", "type", "veth", "peer", "name", "peer",
            "netns", last.path)
        last.close()
        while os.path.exists("/sys/class/net/last"):
            time.sleep(0.05)


def _life(count, make, unmake, memory):
    """Makes and unmakes; returns time, memory and time, each for one child.

    `memory` is what was available before the first of all: what the kernel
    keeps of earlier children serves later ones.
    """
    _cleaned_up()
    start = _busy()
    made = make()
    created = _busy() - start
    used = memory - _available()
    start = _busy()
    unmake(made)
    _cleaned_up()
    return created / count, used / count, (_busy() - start) / count


def _bare(count, memory):
    return _life(count, lambda: [Namespace() for _ in range(count)],
                 lambda spaces: [space.close() for space in spaces], memory)


def _children(path, ip, count, memory):
    with Network(path, ip, children=0) as network:
        def remove(_):
            for child in network.children:
                child.rtnl.close()
                child.namespace.close()
            network.children = []
        return _life(count, lambda: network.grow(count), remove, memory)


def lifecycle(path, cell, control):
    """Figures create, memory and remove of one path."""
    count = cell["children"]
    if not control.notes:
        _cleaned_up()
        control.notes["memory"] = _available()
        control.notes["bare"] = _bare(count, control.notes["memory"])
    memory, bare = control.notes["memory"], control.notes["bare"]
    if path["kind"] == "host":
        values = bare
    else:
        values = _children(path, cell["ip"], count, memory)
    for work, value, own in zip(("create", "memory", "remove"), values, bare):
        yield work, Figure(value, own, count, count, None, count)
