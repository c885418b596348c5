# SPDX-License-Identifier: GPL-2.0
"""What a real parent has: connection tracking, NAT, a ruleset.

conntrack  every connection tracked, established ones accepted first
filter20   and before that 20 rules that match nothing, walked by every packet
nat        conntrack, and what the children send to the outside is masqueraded
rules20    nat and the 20 rules
rules200   nat and 200 of them
"""
import socket
import struct

NETFILTER, GET_OBJECT, REQUEST_DUMP, INET, DONE = 12, 0xa << 8 | 19, 0x301, 1, 3
OBJECT_NAME, OBJECT_DATA, COUNTER_PACKETS = 2, 4, 2
TRANSLATING = ("nat", "rules20", "rules200")
COUNTERS = ("input", "forward", "output", "leave")
_FAMILY = {4: "ip", 6: "ip6"}


def _blocked(ip, number):
    """An address range that nothing here comes from."""
    if ip == 4:
        return f"203.0.{number >> 8}.{number & 255}"
    return f"2001:db8::{number:x}"


def _walked(level, ip):
    """Rules that no packet matches."""
    count = {"filter20": 20, "rules20": 20, "rules200": 200}.get(level, 0)
    return [f"{_FAMILY[ip]} saddr {_blocked(ip, n)} drop" for n in range(count)]


def _filter_chain(hook, level, ip):
    count = f"counter name {hook}"
    rules = _walked(level, ip) + [f"ct state established,related {count} accept",
                                  "ct state invalid drop", f"ct state new {count} accept"]
    body = "\n".join(rules)
    return (f"chain {hook} {{ type filter hook {hook} priority filter; policy drop;\n"
            f"{body}\n}}\n")


def _nat_chain(plan):
    return ("chain leave { type nat hook postrouting priority srcnat;\n"
            f"{_FAMILY[plan.ip]} saddr {plan.children}/{plan.children_length} "
            f"{_FAMILY[plan.ip]} daddr {plan.outside} counter name leave masquerade\n}}\n")


def install(network, level):
    """Loads a level's ruleset in the parent."""
    if level == "none":
        return
    network.has_rules = True
    plan = network.plan
    text = "table inet bench {\n" + "".join(f"counter {name} {{ }}\n" for name in COUNTERS)
    for hook in ("input", "forward", "output"):
        text += _filter_chain(hook, level, plan.ip)
    if level in TRANSLATING:
        text += _nat_chain(plan)
    network.parent.run("nft", "-f", "-", text=text + "}\n")


def _attributes(data):
    """The attributes of a netlink message, by number."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("HH", data)
        found[kind & 0x3fff] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


def _counters(network):
    """Names and packets of all counters.

    By netlink, not by nft: it is done before and after each figure.
    """
    with network.parent, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as asked:
        asked.send(struct.pack("IHHIIBBH", 20, GET_OBJECT, REQUEST_DUMP, 1, 0, INET, 0, 0))
        while True:
            answer = asked.recv(1 << 16)
            while answer:
                length, kind = struct.unpack_from("IH", answer)
                if kind == DONE:
                    return
                body = _attributes(answer[20:length])
                packets = _attributes(body[OBJECT_DATA])[COUNTER_PACKETS]
                yield body[OBJECT_NAME].rstrip(b"\0").decode(), struct.unpack(">Q", packets)[0]
                answer = answer[(length + 3) & ~3:]


def counted(network, names):
    """What some of the counters have counted."""
    return sum(packets for name, packets in _counters(network) if name in names)


def seen(network):
    """How many packets the parent's rules have counted."""
    return counted(network, ("input", "forward", "output")) if network.has_rules else 0


def masqueraded(network):
    """How many connections the parent has translated."""
    return counted(network, ("leave",))
