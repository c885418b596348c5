#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Two worlds that differ in nothing but their shortcuts, changed at random and alike: what becomes
of a packet is the same in both, the very first time after each change.

usage: shortcut_random.py [--seed N] [--steps N] [--seconds S] [--stop N]

One seed makes the same changes and packets each time. The first difference is told with all that
was done to the worlds before; it is looked at again, and once more after all that the module had
remembered was forgotten: it is in what was remembered if that mends it.
"""

import argparse
import random
import sys
import time

from random_changes import PORTS, RULES, Changes, Probe
from random_world import Pool, World
from world import FAMILIES, PATIENCE, report, statistics

# Packets of a step, each sent three times: what is found out of the second one the third goes by.
PROBES = 40
# Seconds in which nothing of IPv6 is remembered after a change.
UNSETTLED = 0.06
# Changes to a world before there is a new one.
LIFE = 60
# How likely the same packets are sent again after the next changes.
STAY = 0.7
TAKEN = ("rx_device", "rx_route", "rx_sibling", "tx_output")


class Differ:
    """Both worlds, and what is known of their past."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.pools = [Pool(family) for family in FAMILIES]
        self.worlds, self.lives, self.taken, self.steps = [], 0, {}, 0
        self.renew()

    def renew(self):
        """New worlds."""
        self.end()
        self.lives += 1
        self.worlds = [World(f"{letter}{self.lives}", self.pools) for letter in "ab"]
        rules = self.rng.choice(list(RULES))
        for world in self.worlds:
            world.par.nft(f"table inet way {{ {RULES[rules]}\n}}\n")
        self.changes = Changes(self.rng, self.pools, self.worlds)
        self.history = [rules, self.changes.shortcuts(None)]
        self.probes = []

    def end(self):
        """Counts what took shortcuts, and ends the worlds."""
        for world in self.worlds[1:]:
            for port in PORTS:
                for name, value in self.statistics(world, port).items():
                    self.taken[name] = self.taken.get(name, 0) + value
        for world in self.worlds:
            world.end()
        self.worlds = []

    @staticmethod
    def statistics(world, port):
        """What a port counts."""
        return statistics(world.spaces[PORTS[port]], port)

    def step(self):
        """Some changes, and packets; what was different."""
        self.steps += 1
        if len(self.history) > LIFE:
            self.renew()
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            self.history.append(self.changes.one())
        if not self.probes or self.rng.random() > STAY:
            self.probes = [Probe(self.rng, self.rng.choice(self.pools)) for _ in range(PROBES)]
        for when in ("the first time", "once more", "by what is remembered"):
            if when == "once more":
                time.sleep(UNSETTLED)
            different = self.compare(self.probes)
            if different:
                return [f"step {self.steps}, {when}:", *different, *self.look_again(different)]
        return []

    def compare(self, probes):
        """Sends packets in both worlds; what was different."""
        for probe in probes:
            probe.renew()
        errors = [[world.send(probe) for probe in probes] for world in self.worlds]
        said = [f"{probe}: errors {one} and {other}" for probe, one, other in zip(probes, *errors) if one != other]
        seen = [[], []]
        end = time.monotonic() + PATIENCE
        while True:
            for world, there in zip(self.worlds, seen):
                there += world.observe()
            only = [sorted(minus(seen[0], seen[1])), sorted(minus(seen[1], seen[0]))]
            if only == [[], []] or time.monotonic() > end:
                break
            time.sleep(0.005)
        said += [str(probe) for probe in probes if any(probe.token in line for line in only[0] + only[1])]
        return said + [f"only without shortcuts: {line}" for line in only[0]] + [f"only by shortcuts: {line}" for line in only[1]]

    def look_again(self, different):
        """Whether it is so again, and once all is forgotten."""
        probes = [probe for probe in self.probes if any(probe.token in line for line in different)] or self.probes
        yield from self.look("again", probes)
        world = self.worlds[1]
        shortcuts = next(line for line in reversed(self.history) if line.startswith("shortcuts"))
        words = dict(part.split("=", 1) for part in shortcuts.split()[1:])
        for value in (dict.fromkeys(PORTS, "none"), words):
            for port in PORTS:
                world.ip(PORTS[port], "link", "set", port, "type", "passthru", "shortcut", value[port])
        yield from self.look("with all forgotten", probes)

    def look(self, when, probes):
        """Sends some packets again, and says what was counted."""
        before = {port: self.statistics(self.worlds[1], port) for port in PORTS}
        yield f"{when}: " + ("; ".join(self.compare(probes)) or "no difference")
        for port in PORTS:
            after = self.statistics(self.worlds[1], port)
            counted = {name: after[name] - before[port][name] for name in after if after[name] != before[port][name]}
            yield f"{when}: {port} counted {counted}"

    def tell(self, different):
        """What was different, all that was done before, and how the second world is now."""
        print("\n".join(f"# {line}" for line in [*different, "what was done:", *self.history]))
        version = "-6" if any("::" in line for line in different) else "-4"
        for space in ("par", "blue", "red", "grand"):
            for words in (("rule",), ("route", "show", "table", "all"), ("-br", "addr")):
                lines = self.worlds[1].spaces[space].call("ip", version, *words).splitlines()
                print(f"# {space}, ip {' '.join(words)}:")
                print("\n".join(f"#     {line}" for line in lines if not any(word in line for word in ("fe80", "anycast", "multicast", "broadcast"))))


def minus(these, those):
    """What there is more of here than there."""
    rest = list(those)
    for line in these:
        if line in rest:
            rest.remove(line)
        else:
            yield line


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=1_000_000)
    parser.add_argument("--stop", type=int, default=1, help="differences after which to stop")
    args = parser.parse_args()
    differ = Differ(args.seed)
    end, differences = time.monotonic() + args.seconds, 0
    while differ.steps < args.steps and differences < args.stop and time.monotonic() < end:
        different = differ.step()
        if different:
            differences += 1
            differ.tell(different)
            differ.renew()
    differ.end()
    taken = {name: differ.taken.get(name, 0) for name in TAKEN}
    report(not differences, f"seed {args.seed}: by shortcuts nothing becomes of packets that would not without")
    print(f"# {differ.steps} steps, {Probe.count} packets, {differ.lives} worlds; by shortcuts: {taken}")
    report(min(taken.values()) > differ.steps // 10, "... and many took each of them", taken)


if __name__ == "__main__":
    sys.exit(main())
