# SPDX-License-Identifier: GPL-2.0
"""Time and memory to make and remove many children.

A child here is a namespace with its device, its address and its routes. The
control is the same number of namespaces with nothing in them.
"""
import os
import time

from netns import Namespace, run
from path import Network
from works import Figure

_TICK = 1e9 / os.sysconf("SC_CLK_TCK")


def _busy():
    """Nanoseconds that have passed and were not idle."""
    with open("/proc/stat", encoding="ascii") as file:
        idle = sum(int(word) for word in file.readline().split()[4:6]) * _TICK
    return time.monotonic_ns() * os.cpu_count() - idle


def _available():
    with open("/proc/meminfo", encoding="ascii") as file:
        values = dict(line.split(":") for line in file)
    return int(values["MemAvailable"].split()[0]) * 1024


def _cleaned_up():
    """Waits until the kernel has removed every namespace let go so far.

    It removes them in the order they went: when a device in the last one is
    gone, so is all before it.
    """
    sentinel = Namespace()
    run("ip", "link", "add", "sentinel", "type", "veth", "peer", "name", "peer",
        "netns", sentinel.path)
    sentinel.close()
    while os.path.exists("/sys/class/net/sentinel"):
        time.sleep(0.05)


def _life(count, make, unmake):
    """Makes and unmakes; returns time, memory and time, each for one child."""
    _cleaned_up()
    memory, start = _available(), _busy()
    made = make()
    created = _busy() - start
    used = memory - _available()
    start = _busy()
    unmake(made)
    _cleaned_up()
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


def lifecycle(path, cell, control):
    """Figures create, memory and remove of one path."""
    count = cell["children"]
    if ("bare", count) not in control.notes:
        control.notes["bare", count] = _bare(count)
    bare = control.notes["bare", count]
    if path["kind"] == "host":
        values = bare
    else:
        values = _children(path, cell["ip"], count)
    for work, value, own in zip(("create", "memory", "remove"), values, bare):
        yield work, Figure(value, own, count, count, None, count)
