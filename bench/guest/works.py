# SPDX-License-Identifier: GPL-2.0
"""The kinds of work: each measures one cell of the plan on one path."""
import json
import time
from collections import namedtuple
from contextlib import closing, contextmanager, nullcontext

import firewall
import frames
import window
from addresses import PORT
from netns import CommandFailed, run
from path import Network, guest_file
from pktgen import Pktgen, alone, take_the_cpu
from sink import Sinks

# value       nanoseconds per unit of work, which are instructions under -icount
# generation  the load's own share of it
# seen        whether the parent's rules saw the packets (None: it has none)
Figure = namedtuple("Figure", "value generation sent delivered seen")


class Lost(Exception):
    """Packets went missing: the path has no figure."""


def _expect(sent, delivered):
    if sent != delivered:
        raise Lost(f"delivered {delivered} of {sent}")


def uplink_of(cell):
    """The kind of uplink that a cell's work needs."""
    outside = cell["work"].startswith("tcp") or frames.are_for(cell)
    return "veth" if outside else "dummy"


# --- receive ---

def _generator(network, cell):
    """What sends a cell's packets."""
    if frames.are_for(cell):
        return frames.Frames(network)
    return Pktgen(network, cell.get("cpus", 1))


_DROP = """table netdev control {
  chain early { type filter hook ingress device up0 priority 0; policy drop; }
}
"""


class Control:
    """The generator's share: the same packets, freed at the uplink's ingress."""

    def __init__(self, host):
        self._host = host
        self._known = {}

    def forget(self):
        """Measures anew: time drifts."""
        self._known = {}

    def value(self, cell):
        """Nanoseconds per packet until the uplink's ingress drops it."""
        key = (cell["ip"], cell["size"], cell["flows"], cell["children"], cell.get("sources"))
        if key not in self._known:
            self._known[key] = self._measure(cell)
        return self._known[key]

    def _measure(self, cell):
        with Network(self._host, cell["ip"], uplink_of(cell), cell["children"]) as network:
            take_the_cpu(network)
            with closing(_generator(network, cell)) as generator:
                network.parent.run("nft", "-f", "-", text=_DROP)
                generator.configure(cell)
                generator.send(cell["warm"])
                return window.repeated(generator.send, cell)


@contextmanager
def _sinks(network, cell):
    """Sockets at all addresses; thousands of children keep theirs for the next figure."""
    if not cell.get("grows"):
        with closing(Sinks(network, cell["connected"])) as sinks:
            yield sinks
        return
    if cell["ip"] not in network.sinks:
        network.sinks[cell["ip"]] = Sinks(network)
    network.sinks[cell["ip"]].grow()
    yield network.sinks[cell["ip"]]


def _first_reply(network, sinks):
    """A packet back, so that the connection is established.

    Returns the address that the outside then sends to: the parent's own where
    the parent translates.
    """
    sinks.sockets[0].reply()
    if network.path.get("one_way") or not firewall.masqueraded(network):
        return None
    return network.plan.parent


def _settle(cell):
    """Routes of IPv6 are remembered once a grace period has passed since the first packet after
    they were changed last."""
    if cell["ip"] == 6:
        time.sleep(0.1)


def _receive(network, cell, sinks, generator):
    generator.configure(cell)
    if cell["firewall"] != "none":
        if cell["firewall"] not in firewall.TRANSLATING:
            generator.send(10)      # the outside begins
        generator.configure(cell, _first_reply(network, sinks))
    with alone() if cell.get("grows") else nullcontext():
        # pktgen draws IPv6 destinations: of so many as these all come by but one of thousands.
        rounds = 8 if cell["ip"] == 6 else 2
        generator.send(10)
        _settle(cell)
        generator.send(max(cell["warm"], rounds * len(network.addresses)))
        before = sinks.count()
        value = window.measured(generator.send, cell)
    sent = window.total(cell) * cell.get("cpus", 1)
    delivered = sinks.count() - before
    _expect(sent, delivered)
    return value, sent, delivered


def receive(network, cell, control):
    """UDP from the uplink to sockets of children."""
    take_the_cpu(network)
    with _sinks(network, cell) as sinks, \
            closing(_generator(network, cell)) as generator:
        value, sent, delivered = _receive(network, cell, sinks, generator)
    seen = _rules_see(network, cell, sent)
    if "cpus" in cell:
        return Figure(cell["cpus"] * 1e9 / value, 0, sent, delivered, seen)
    return Figure(value, control.value(cell), sent, delivered, seen)


# --- what the load program does ---

def _first(cell):
    """How much of the work goes before what is measured, so that it can settle."""
    if cell["ip"] != 6:
        return 0
    return 65536 if cell["work"].endswith("stream") else 1


def _load(name, source, target, addresses, cell):
    """Runs the load program from one namespace to another."""
    words = {"from": source.path, "to": target.path, "src": addresses[0], "dst": addresses[1],
             "port": PORT, "size": cell["size"], "warm": cell["warm"],
             "own": str(not window.PROFILING).lower(),
             "connected": str(cell["connected"]).lower(),
             "reverse": str(cell.get("direction") == "out").lower()}
    words = [f"{key}={value}" for key, value in words.items()]
    try:
        if _first(cell):
            run(guest_file("load"), name, *words, f"warm={_first(cell)}", f"count={_first(cell)}")
            _settle(cell)
        return window.measured(
            lambda count: json.loads(run(guest_file("load"), name, *words, f"count={count}")),
            cell)
    except CommandFailed as error:
        raise Lost(str(error).rpartition(": ")[2]) from error


def _unit(cell):
    """How many bytes or operations one figure counts."""
    return 1024 if cell["work"].endswith("stream") else 1


def _figure(network, result, cell, packets):
    _expect(result["sent"], result["delivered"])
    units = result["sent"] / _unit(cell)
    return Figure(result["ns"] / units, result["own_ns"] / units, result["sent"],
                  result["delivered"], _rules_see(network, cell, packets))


def _rules_see(network, cell, packets):
    """Whether the parent's rules counted so many packets more than before."""
    if cell["firewall"] == "none":
        return None
    before, network.rules_counted = network.rules_counted, firewall.seen(network)
    return network.rules_counted - before >= packets


def _packets_of(cell):
    """A number of packets that a work cannot do without."""
    return cell["count"] // 65536 if cell["work"].endswith("stream") else cell["count"]


def transmit(network, cell, _control):
    """UDP from a child to the uplink."""
    child = network.children[0]
    before = _transmitted(network)
    result = _load("tx-udp", child.namespace, network.parent,
                   (network.address_of(child), network.plan.outside), cell)
    others = window.before_last(cell) + window.runs() * cell["warm"] + 2 * _first(cell)
    result["delivered"] = _transmitted(network) - before - others
    return _figure(network, result, cell, cell["count"])


def _transmitted(network):
    """Packets that left by the uplink."""
    with network.parent, open("/proc/net/dev", encoding="ascii") as file:
        for line in file:
            name, _, numbers = line.partition(":")
            if name.strip() == "up0":
                return int(numbers.split()[9])
    raise CommandFailed("the uplink is gone")


def tcp(network, cell, _control):
    """TCP between the outside and a child.

    The outside connects; where the parent does NAT the child does, through the
    translation.
    """
    child, plan = network.children[0], network.plan
    ends = [(network.outside, plan.outside), (child.namespace, network.address_of(child))]
    if cell["firewall"] in firewall.TRANSLATING:
        ends.reverse()
        if "direction" in cell:
            cell = dict(cell, direction="out" if cell["direction"] == "in" else "in")
    (source, src), (target, dst) = ends
    result = _load(cell["work"], source, target, (src, dst), cell)
    return _figure(network, result, cell, _packets_of(cell))


def sibling(network, cell, _control):
    """TCP from one child to another."""
    one, two = network.children[:2]
    result = _load(cell["work"].replace("sibling", "tcp"), one.namespace, two.namespace,
                   (network.address_of(one), network.address_of(two)), cell)
    return _figure(network, result, cell, _packets_of(cell))


KINDS = {
    "rx-udp": receive, "tx-udp": transmit,
    "tcp-rr": tcp, "tcp-crr": tcp, "tcp-stream": tcp,
    "sibling-rr": sibling, "sibling-stream": sibling,
}
