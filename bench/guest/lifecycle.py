# SPDX-License-Identifier: GPL-2.0
"""Time and memory to make and remove many children.

A child here is a namespace with its device, its address and its routes. The times are of all that is
not idle (but see _busy), up to the last answer: what the kernel puts off beyond that is not in them.
"""
import os
import time

import window
from netns import Lost, Namespace, existing, wait_until_removed, write
from path import Network
from works import Figure

_TICK = 1e9 / os.sysconf("SC_CLK_TCK")


def _busy():
    """Nanoseconds that have passed and were not idle. In UML all: more is idle there than passed."""
    if not window.COUNTED:
        return time.monotonic_ns()
    with open("/proc/stat", encoding="ascii") as file:
        idle = sum(int(word) for word in file.readline().split()[4:6]) * _TICK
    return time.monotonic_ns() * os.cpu_count() - idle


def _available():
    write("/proc/sys/vm/drop_caches", "3")
    with open("/proc/meminfo", encoding="ascii") as file:
        values = dict(line.split(":") for line in file)
    return int(values["MemAvailable"].split()[0]) * 1024


class _Bare:
    """Namespaces with nothing in them."""

    def __init__(self):
        self._spaces = []

    def make(self, count):
        """Makes so many."""
        self._spaces = [Namespace() for _ in range(count)]

    def settle(self):
        """There is nothing to wait for."""

    def present(self):
        """How many were made."""
        return len(self._spaces)

    def remove(self):
        """Lets all of them go."""
        for namespace in self._spaces:
            namespace.close()


class _Children:
    """A network's children. Neighbours find each other when they first speak, which is not here."""

    def __init__(self, network):
        self._network = network
        self.make, self.settle, self.present = network.make, network.quiet, network.present

    def remove(self):
        """Lets all of them go."""
        for child in self._network.children:
            child.rtnl.close()
            child.namespace.close()
        self._network.children = []


def _life(count, things):
    """Makes and unmakes; returns what each of one's costs, and how many were found made or gone.

    What is counted and waited for is not timed: it is the benchmark's own.
    """
    wait_until_removed()
    before, memory = existing(), _available()
    start = _busy()
    things.make(count)
    created = _busy() - start
    things.settle()
    used = memory - _available()
    made = min(things.present(), existing() - before)
    start = _busy()
    things.remove()
    wait_until_removed()
    removed = _busy() - start
    gone = made - (existing() - before)
    return (created / count, made), (used / count, made), (removed / count, gone)


def _measure(path, ip, count):
    if path["kind"] == "host":
        return _life(count, _Bare())
    with Network(path, ip, children=0, introduced=False) as network:
        return _life(count, _Children(network))


def lifecycle(path, cell):
    """Figures create, memory and remove of one path.

    To be the only ones of their boot: the kernel keeps memory of children that
    are gone, which would serve those that come later. The host's are those of
    namespaces with nothing in them, the share that all paths have in common.
    """
    count = cell["children"]
    results = _measure(path, cell["ip"], count)
    for work, (value, found) in zip(("create", "memory", "remove"), results):
        if found != count:
            raise Lost(f"{work}: {found} of {count} children")
        yield work, Figure(value, 0, count, found, None, None)
