# SPDX-License-Identifier: GPL-2.0
"""The kinds of work: each measures one cell of the plan on one path."""
import time
from collections import namedtuple
from contextlib import closing, contextmanager, nullcontext

import firewall
import frames
import window
import witness
from load import Load
from netns import Lost
from path import Network
from pktgen import Pktgen, alone, take_the_cpu
from sink import Sinks

# value       nanoseconds per unit of work, which are instructions under -icount
# generation  the load's own share of it
# seen        whether the parent's rules saw the packets (None: it has none)
# taken       the share of packets that took a shortcut (None: the path has none)
Figure = namedtuple("Figure", "value generation sent delivered seen taken")
# One window of a figure.
Run = namedtuple("Run", "value own sent delivered")


def _expect(sent, delivered):
    if sent != delivered:
        raise Lost(f"delivered {delivered} of {sent}")


# Children whose own threads, and whose removal, would be a part of what is measured.
MANY = 50
# Seconds until all CPUs surely send, and how often it is looked whether they still do.
SOON, LOOKS = 3, 5


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
                return window.plain(lambda count: _dropped(network, generator, count), cell).value


def _dropped(network, generator, count):
    """One window of the control: every packet gets as far as the uplink, and none as far as IP.

    A counter in the rule itself would be a part of what it measures.
    """
    before = witness.processed(), witness.received(network.parent, network.plan.ip)
    value = generator.send(count)
    came = witness.processed() - before[0]
    passed = witness.received(network.parent, network.plan.ip) - before[1]
    if came < count or passed:
        raise Lost(f"generation: of {count} packets {came} came and {passed} were not dropped")
    return Run(value, 0, count, count)


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


def _settle(network, cell, work):
    """Lets caches learn what they can, by work(), before anything is measured.

    A route of IPv6 is remembered once a grace period has passed since the first packet after routes
    changed last, and none ends while what is measured holds the only CPU.
    """
    work()
    if cell["ip"] == 6:
        network.quiet()
        work()


def _send(cell, sinks, generator, count):
    """The cost of a packet, or packets a second where that is asked; and how many were sent."""
    if "cpus" not in cell:
        return generator.send(count), count
    watched = sinks.sockets[:cell["cpus"]]
    return generator.send_during(lambda: _rate(watched, cell["span"]))


def _look(sockets):
    """What has come to each socket, and when that was."""
    return [(time.monotonic_ns(), sink.count()) for sink in sockets]


def _grew(before, now):
    """Whether something came to every socket between two looks."""
    return all(then[1] < count for then, (_, count) in zip(before, now))


def _rate(sockets, span):
    """Packets a second that come to all sockets together, while every one gets some.

    Each has a CPU of its own that sends to it.
    """
    idle, end = _look(sockets), time.monotonic() + SOON
    while not _grew(idle, _look(sockets)):
        if time.monotonic() > end:
            raise Lost("not all CPUs begin to send")
        time.sleep(0.01)
    looks = [_look(sockets)]
    for _ in range(LOOKS):
        time.sleep(span / LOOKS)
        looks.append(_look(sockets))
        if not _grew(*looks[-2:]):
            raise Lost("not all CPUs send at once")
    return sum((count - first) * 1e9 / (now - start)
               for (start, first), (now, count) in zip(looks[0], looks[-1]))


def _receive(network, cell, sinks, generator):
    """The last window, and the counters before the first and after the last."""
    # pktgen draws IPv6 destinations: of so many as these all come by but one of thousands.
    rounds = 8 if cell["ip"] == 6 else 2
    warm = max(cell["warm"], rounds * len(network.addresses))
    sent = 0

    def once(count):
        nonlocal sent
        had = sinks.count()
        value, packets = _send(cell, sinks, generator, count)
        run = Run(value, 0, packets, sinks.count() - had)
        _expect(run.sent, run.delivered)
        sent += run.sent
        return run

    _settle(network, cell, lambda: generator.send(warm))
    window.prepare()
    crowded = cell.get("grows") or len(network.children) > MANY
    with alone() if crowded else nullcontext():
        if crowded:
            time.sleep(0.2)     # in which the last of the other threads has been woken
            generator.send(max(500, len(network.addresses)))
        before = witness.counts(network)
        result = window.measured(once, cell)
        return result, before, witness.counts(network, sent)


def _begin(network, cell, sinks, generator):
    """The first packets, where the parent tracks connections."""
    generator.configure(cell)
    if cell["firewall"] == "none":
        return
    if cell["firewall"] not in firewall.TRANSLATING:
        generator.send(10)      # the outside begins
    generator.configure(cell, _first_reply(network, sinks))


def _ways_back(network, cell):
    """Gives the parent the routes that random sources are to have, so that no cache of them helps.

    With IPv4 they are behind the outside. With IPv6 a route for another destination depends on the
    source, so that the kernel asks for every source.
    """
    plan = network.plan
    if frames.are_for(cell):
        network.rtnl.route_by_source(network.uplink, plan.nobody, plan.gateway)
    elif cell.get("sources") == "random":
        network.rtnl.route(network.lan, plan.far, plan.far_length, plan.outside)


def receive(network, cell, control):
    """UDP from the uplink to sockets of children."""
    take_the_cpu(network)
    _ways_back(network, cell)
    with _sinks(network, cell) as sinks, \
            closing(_generator(network, cell)) as generator:
        _begin(network, cell, sinks, generator)
        result, *counts = _receive(network, cell, sinks, generator)
    if "cpus" not in cell:
        result = result._replace(own=control.value(cell))
    return _figure(network, cell, result, *counts)


# --- what the load program does ---

def _unit(cell):
    """How many bytes or operations one figure counts."""
    return 1024 if cell["work"].endswith("stream") else 1


def _run(load, cell, count, left):
    """One run; `left`, if any, counts the packets that left by the uplink."""
    for _ in range(3):
        before = left() if left else 0
        result = load.run(cell["warm"], count)
        if not left:
            return result
        result["delivered"] = left() - before - cell["warm"]
        if result["delivered"] <= result["sent"]:
            return result
    return result       # ever again something else left with them


def _window(load, cell, spaces, left):
    """Returns a function that measures one window of a load between two namespaces."""
    def once(count):
        before = witness.retransmitted(*spaces)
        result = _run(load, cell, count, left)
        again = witness.retransmitted(*spaces) - before
        _expect(result["sent"], result["delivered"])
        if again:
            raise Lost(f"{again} segments were sent again")
        if result["slept"] and window.COUNTED:
            raise Lost(f"slept {result['slept']} times")
        units = result["sent"] / _unit(cell)
        return Run(result["ns"] / units, result["own_ns"] / units, result["sent"],
                   result["delivered"])
    return once


def _load(network, name, ends, cell, passed):
    """What a load costs from one end to the other; `passed` counts its packets."""
    (source, src), (target, dst) = ends
    first = 65536 if cell["work"].endswith("stream") else 1
    with Load(name, source, target, (src, dst), cell) as load:
        _settle(network, cell, lambda: load.run(first, first))
        load.run(cell["warm"], first)
        before = witness.counts(network, passed())
        left = passed if name == "tx-udp" else None
        window.prepare()
        result = window.measured(_window(load, cell, (source, target), left), cell)
        after = witness.counts(network, passed())
    return _figure(network, cell, result, before, after)


def _figure(network, cell, run, before, after):
    return Figure(run.value, run.own, run.sent, run.delivered, witness.seen(cell, before, after),
                  witness.share_taken(network, before, after))


def transmit(network, cell, _control):
    """UDP from a child to the uplink."""
    child, plan = network.children[0], network.plan

    def passed():
        return witness.packets(network.parent, "up0")[1]

    ends = (child.namespace, network.address_of(child)), (network.parent, plan.outside)
    return _load(network, "tx-udp", ends, cell, passed)


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
    return _load(network, cell["work"], ends, cell,
                 lambda: sum(witness.packets(network.parent, "up0")))


def sibling(network, cell, _control):
    """TCP from one child to another."""
    one, two = network.children[:2]
    device = "lo" if network.path["kind"] == "host" else "c0"
    ends = ((child.namespace, network.address_of(child)) for child in (one, two))
    return _load(network, cell["work"].replace("sibling", "tcp"), ends, cell,
                 lambda: sum(witness.packets(one.namespace, device)))


def parents(network, cell, _control):
    """TCP from a child to the parent itself."""
    child, plan = network.children[0], network.plan
    device = "lo" if network.path["kind"] == "host" else "c0"
    ends = (child.namespace, network.address_of(child)), (network.parent, plan.parent)
    return _load(network, cell["work"].replace("parent", "tcp"), ends, cell,
                 lambda: sum(witness.packets(child.namespace, device)))


KINDS = {
    "rx-udp": receive, "tx-udp": transmit,
    "tcp-rr": tcp, "tcp-crr": tcp, "tcp-stream": tcp,
    "sibling-rr": sibling, "sibling-crr": sibling, "sibling-stream": sibling,
    "parent-rr": parents,
}
