# SPDX-License-Identifier: GPL-2.0
"""What a real parent has: connection tracking, NAT, a ruleset.

conntrack  every connection tracked, established ones accepted first
filter20   and before that 20 rules that match nothing, walked by every packet
nat        conntrack, and what the children send to the outside is masqueraded
rules20    nat and the 20 rules
rules200   nat and 200 of them
"""
import json

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
    plan = network.plan
    text = "table inet bench {\n" + "".join(f"counter {name} {{ }}\n" for name in COUNTERS)
    for hook in ("input", "forward", "output"):
        text += _filter_chain(hook, level, plan.ip)
    if level in TRANSLATING:
        text += _nat_chain(plan)
    network.parent.run("nft", "-f", "-", text=text + "}\n")


def counted(network, names):
    """What some of the counters have counted.

    They have names because rules are slow to list.
    """
    found = json.loads(network.parent.run("nft", "-j", "list", "counters", "table",
                                          "inet", "bench"))
    return sum(entry["counter"]["packets"] for entry in found["nftables"]
               if entry.get("counter", {}).get("name") in names)


def seen(network):
    """How many packets the parent's rules have counted."""
    return counted(network, ("input", "forward", "output"))


def masqueraded(network):
    """How many connections the parent has translated."""
    return counted(network, ("leave",))
