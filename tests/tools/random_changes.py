#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Changes at random to worlds of random_world.py, the same ones in each, and packets at random.

A library for shortcut_random.py. What is not chosen here is what shortcuts are known to trade away
(the guide says so): FORWARD where nothing is tracked, or for what children send; a parent's rules
before routing; local routes to a port, which only `netfilter` makes the child's.
"""

import struct

from random_world import ICMP, OPEN, PORTS, SHUT, SPACES, TALK, DEVICES
from world import V4, checksum

SETS = (
    "device",
    "route",
    "socket",
    "output",
    "route,output",
    "device,output",
    "device,route,socket",
    "route,socket,output",
    "device,route,socket,output",
)
# What is let in at one place is let in at all: where an address becomes another's, connections to it stay.
FORWARD = """
    chain new { udp dport 7999 ct state new drop; }
    chain i { type filter hook input priority 0; jump new; }
    chain o { type filter hook output priority 0; jump new; }
    chain f { type filter hook forward priority 0; policy accept;
        iifname "up*" ct state invalid drop
        jump new
        iifname "up*" tcp dport 7999 reject with tcp reset
        iifname "up*" ct state established,related,new accept
    }
"""
NAT = """
    chain d { type nat hook prerouting priority dstnat;
        iifname "up*" ip daddr { 192.0.2.1, 198.51.100.1 } udp dport 7001 dnat ip to 10.0.1.2
        iifname "up*" ip6 daddr { 2001:db8:2::1, 2001:db8:3::1 } udp dport 7001 dnat ip6 to fd00:1::2
    }
    chain s { type nat hook postrouting priority srcnat;
        oifname "up*" ip saddr 10.0.2.0/24 masquerade
        oifname "up*" ip6 saddr fd00:2::/64 masquerade
    }
"""
# What a parent has from its beginning to its end: a rule that comes later ends no connection.
RULES = {"no rules": "", "conntrack": FORWARD, "NAT": FORWARD + NAT}
SWITCHES = {
    4: {
        "rp_filter": (0, 1, 2, 0, 1, 2, 0, 1, 2),
        "accept_local": (0, 1),
        "forwarding": (0, 1, 1),
        "route_localnet": (0, 0, 1),
        "src_valid_mark": (0, 1),
        "log_martians": (0, 0, 1),
    },
    6: {"forwarding": (0, 1, 1), "disable_ipv6": (0, 0, 0, 1), "accept_source_route": (0, 1), "force_forwarding": (0, 1)},
}
WIDE_SWITCHES = {
    "ipv4/ip_early_demux": (0, 1),
    "ipv4/udp_early_demux": (0, 1),
    "ipv4/icmp_echo_ignore_all": (0, 0, 1),
    "ipv4/fib_multipath_hash_policy": (0, 1),
    "ipv4/fwmark_reflect": (0, 1),
    "ipv4/icmp_errors_use_inbound_ifaddr": (0, 1),
    "ipv4/ip_nonlocal_bind": (0, 1),
    "ipv6/icmp/echo_ignore_all": (0, 0, 1),
}


class Probe:
    """A packet, and where and how it is sent."""

    count = 0

    def __init__(self, rng, pool):
        self.family = pool.family
        self.where = rng.choice(("out0", "out0", "out0", "out1", "blue", "blue", "red", "grand", "par"))
        self.dest = pool.any(rng) if rng.random() < 0.6 else rng.choice((*pool.children, pool.grand))
        while self.where == "par" and self.dest[:2] in ("ff", "fe"):
            self.dest = pool.any(rng)  # by which device these go is a matter of whose route came first
        self.source = pool.of(self.where) if rng.random() < 0.65 else pool.any(rng)
        ways = {"par": ("raw", "socket"), "out0": ("wire",), "out1": ("wire",)}
        self.how = rng.choice(ways.get(self.where, ("raw", "raw", "frame", "socket")))
        self.tos = rng.choice((0, 0, 0, 0x10, 0x20, 0xB8, 1))
        self.mark = rng.choice((0, 0, 1))
        self.kind = "udp" if self.how == "socket" else rng.choice(("udp",) * 5 + ("echo", "echo", "tcp", "options", "fragment"))
        if self.how == "socket" and rng.random() < 0.5:
            self.source = None
        self.dport = rng.choice((OPEN, OPEN, OPEN, SHUT, TALK, TALK))
        self.sport = rng.choice((4242, 4242, 4243, TALK))
        self.length = rng.choice((8, 8, 40, 1300))
        self.renew()

    def renew(self):
        """Makes it one that can be told from the one before."""
        Probe.count += 1
        self.number = Probe.count
        self.client = 0x6000 + self.number % 0x1FFF
        self.token = f"TCP {self.client}" if self.kind == "tcp" else f"T{self.number & 0xFFFFFFF:07x}"
        self.payload = self.token.encode().ljust(self.length, b"\0")
        self.packet = None if self.how == "socket" else self.make()

    def make(self):
        """The packet's bytes."""
        extra, fragment = b"", 0
        if self.kind == "echo":
            proto, body = ICMP[self.family], struct.pack("!BBHHH", 8 if self.family is V4 else 128, 0, 0, 77, 1) + self.payload
        elif self.kind == "tcp":
            proto, body = 6, struct.pack("!HHIIBBHHH", self.client, SHUT, 1, 0, 5 << 4, 2, 1000, 0, 0)
        else:
            proto, body = 17, struct.pack("!HHHH", self.sport, self.dport, 8 + len(self.payload), 0) + self.payload
        body = self.with_sum(proto, body)
        if self.kind == "options":
            # A router's alert; options for the destination, of which there are none.
            extra = b"\x94\x04\0\0" if self.family is V4 else struct.pack("!BB", proto, 0) + b"\x05\x02\0\0\x01\0"
            proto = proto if self.family is V4 else 0
        if self.kind == "fragment" and self.family is V4:
            body, fragment = body[: len(body) & ~7], 0x2000
        return self.header(proto, fragment, extra, len(body)) + extra + body

    def with_sum(self, proto, body):
        """A transport header and what follows, with its checksum."""
        at = {1: 2, 58: 2, 6: 16, 17: 6}[proto]
        pseudo = b"" if proto == 1 else self.family.raw(self.source) + self.family.raw(self.dest) + struct.pack("!II", len(body), proto)
        return body[:at] + struct.pack("!H", checksum(pseudo + body) or 0xFFFF) + body[at + 2 :]

    def header(self, proto, fragment, extra, length):
        """The header of IP, which `extra` follows."""
        ends = self.family.raw(self.source) + self.family.raw(self.dest)
        if self.family is not V4:
            return struct.pack("!IHBB", 6 << 28 | self.tos << 20, len(extra) + length, proto, 64) + ends
        words = 5 + len(extra) // 4
        number = self.number & 0xFFFF or 1
        header = struct.pack("!BBHHHBBH", 4 << 4 | words, self.tos, words * 4 + length, number, fragment, 64, proto, 0) + ends
        return header[:10] + struct.pack("!H", checksum(header + extra)) + header[12:]

    def __str__(self):
        ports = "" if self.kind in ("echo", "tcp") else f" ports {self.sport} > {self.dport}"
        what = f"{self.kind} {self.source} > {self.dest}{ports} tos {self.tos} mark {self.mark} length {self.length}"
        return f"{self.token} from {self.where} by {self.how}: {what}"


class Changes:
    """What is changed: in all worlds, but for the shortcuts, which the first one has none of."""

    def __init__(self, rng, pools, worlds):
        self.rng, self.pools, self.worlds = rng, pools, worlds
        weights = {
            self.route: 10,
            self.rule: 4,
            self.switch: 6,
            self.address: 3,
            self.link: 1,
            self.socket: 3,
            self.child_route: 2,
            self.spoofchk: 1,
            self.shortcuts: 2,
            self.child_rules: 1,
            self.marks: 1,
            self.flush: 1,
            self.base: 3,
        }
        self.all = [change for change, weight in weights.items() for _ in range(weight)]

    def one(self):
        """Makes one; says which."""
        change = self.rng.choice(self.all)
        said = change(self.rng.choice(self.pools))
        if change in (self.address, self.link, self.base) or "disable_ipv6" in said:
            for world in self.worlds:
                world.settle()
        return said

    def ip(self, space, *words):
        """A command of ip."""
        refused = {bool(world.ip(space, *words)) for world in self.worlds}
        return f"{space}: ip {' '.join(words)}" + (" (refused)" if True in refused else "")

    def base(self, _pool):
        """Addresses and routes of the beginning."""
        for world in self.worlds:
            world.base()
        return "addresses and routes as at first"

    def route(self, pool):
        """A route of the parent's."""
        rng = self.rng
        verb = rng.choice(("replace", "replace", "add", "append", "del", "del"))
        kind, target = (), self.target(pool)
        if rng.random() < 0.15:
            kind, target = (rng.choice(("blackhole", "unreachable", "prohibit", "throw")),), ()
        more = self.attributes(pool, bool(kind))
        if verb != "append" and not kind and rng.random() < 0.1:
            target = ("nexthop", "dev", "p1", "nexthop", *rng.choice((("dev", "p2"), ("via", pool.gateways[0], "dev", "up0"))))
        if verb == "del" and rng.random() < 0.7:
            target, more = (), more[:2] if more[:1] == ["table"] else []
        return self.ip("par", f"-{pool.family.version}", "route", verb, *kind, pool.prefix(rng), *more, *target)

    def target(self, pool):
        """Where a route leads."""
        ports = (("dev", "p1"), ("dev", "p2")) * 3
        uplinks = tuple(("via", gateway, "dev", f"up{number}") for number, gateway in enumerate(pool.gateways))
        uplinks += (("dev", "up0"), ("dev", "up1"))
        gateways = tuple(("via", child, "dev", f"p{number}", "onlink") for number, child in enumerate(pool.children, 1))
        return self.rng.choice(ports + uplinks + gateways)

    def attributes(self, pool, is_refusal):
        """What else a route may have."""
        rng, more = self.rng, []
        if rng.random() < 0.4:
            more += ["table", rng.choice(("100", "200"))]
        if rng.random() < 0.2:
            more += ["metric", rng.choice(("5", "10", "2000"))]
        if pool.family is V4 and rng.random() < 0.15:
            more += ["tos", rng.choice(("0x10", "0x20"))]
        if not is_refusal and rng.random() < 0.1:
            more += ["mtu", rng.choice(("1300", "1400"))]
        if pool.family is not V4 and not is_refusal and rng.random() < 0.1:
            more += ["from", pool.family.host(pool.own(rng))]
        return more

    def child_route(self, pool):
        """A route of a child's."""
        rng = self.rng
        kind = (rng.choice(("blackhole", "unreachable", "prohibit")),) if rng.random() < 0.3 else ()
        prefix = rng.choice((pool.prefix(rng), "default"))
        verb = "replace" if prefix == "default" and rng.random() < 0.7 else rng.choice(("replace", "del", "del"))
        target = () if kind or verb == "del" else ("dev", "c0")
        return self.ip(rng.choice(("blue", "red", "grand")), f"-{pool.family.version}", "route", verb, *kind, prefix, *target)

    def rule(self, pool):
        """A rule for routes."""
        rng, v = self.rng, f"-{pool.family.version}"
        space, pref = rng.choice(("par",) * 5 + ("blue",)), str(rng.randrange(100, 106))
        if rng.random() < 0.45:
            return self.ip(space, v, "rule", "del", "pref", pref)
        own, net = pool.own(rng), rng.choice(pool.nets)
        matches = [("from", own), ("to", own), ("iif", "lo")]
        matches += [("iif", "c0")] if space == "blue" else []
        if space == "par":
            matches += [("iif", "up0"), ("iif", "p1"), ("from", net), ("to", net), ("dsfield", "0x10"), ("fwmark", "1"), ("ipproto", "udp")]
            matches += [("dport", "7001"), ("not", "from", own), ("oif", "up0"), ("iif", "up0", "dsfield", "0x20"), ("from", own, "iif", "p2")]
        actions = [("lookup", "100")] * 3 + [("lookup", "200")] * 2
        actions += [("blackhole",), ("prohibit",), ("unreachable",), ("lookup", "main", "suppress_prefixlength", "0")]
        return self.ip(space, v, "rule", "add", *rng.choice(matches), "pref", pref, *rng.choice(actions))

    def switch(self, pool):
        """A switch of sysctl's."""
        rng, version = self.rng, pool.family.version
        space = rng.choice(("par",) * 4 + ("blue", "red", "grand"))
        if rng.random() < 0.15:
            path = rng.choice(list(WIDE_SWITCHES))
            value = rng.choice(WIDE_SWITCHES[path])
        else:
            name = rng.choice([name for name, values in SWITCHES[version].items() for _ in values])
            path = f"ipv{version}/conf/{rng.choice(('all', *DEVICES[space]))}/{name}"
            value = rng.choice(SWITCHES[version][name])
        for world in self.worlds:
            try:
                with world.spaces[space], open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
                    file.write(str(value))
            except FileNotFoundError:
                pass  # a kernel that has none
        return f"{space}: {path} = {value}"

    def address(self, pool):
        """An address of somebody's."""
        rng = self.rng
        space = rng.choice(SPACES)
        device = rng.choice((*DEVICES[space], "lo"))
        verb = rng.choice(("replace", "del"))
        address = pool.own(rng)
        if verb == "replace" and space != "par" and rng.random() < 0.5:
            address = pool.of(space)
        return self.ip(space, f"-{pool.family.version}", "addr", verb, pool.family.host(address), "dev", device)

    def link(self, _pool):
        """A device goes down, or up."""
        space = self.rng.choice(SPACES)
        return self.ip(space, "link", "set", self.rng.choice(DEVICES[space]), self.rng.choice(("down", "up", "up")))

    def socket(self, pool):
        """A socket opens or closes."""
        rng = self.rng
        space = rng.choice(("blue", "blue", "red", "grand", "par"))
        which = rng.choice(
            (
                {"peer": (pool.own(rng), rng.choice((4242, TALK)))},
                {"address": pool.of(space), "peer": (pool.gateways[0], 4242)},
                {"address": pool.own(rng)},
                {"device": rng.choice((*DEVICES[space], "lo"))},
            )
        )
        for world in self.worlds:
            world.toggle_socket(space, pool.family, TALK, **which)
        return f"{space}: socket {which}"

    def spoofchk(self, _pool):
        """Whether a port's child may lie."""
        port, value = self.rng.choice(list(PORTS)), self.rng.choice(("on", "off"))
        return self.ip(PORTS[port], "link", "set", port, "type", "passthru", "spoofchk", value)

    def shortcuts(self, _pool):
        """Other shortcuts, in all worlds but the first."""
        words = {port: self.rng.choice(SETS) for port in PORTS}
        for world in self.worlds[1:]:
            for port, word in words.items():
                world.ip(PORTS[port], "link", "set", port, "type", "passthru", "shortcut", word)
        return "shortcuts " + " ".join(f"{port}={word}" for port, word in words.items())

    def child_rules(self, pool):
        """A child's own rules of netfilter."""
        rng = self.rng
        child = rng.choice(("blue", "red", "grand"))
        # What blue's decide of its own child's packets is traded away, as the parent's is.
        hooks = ("input",) if child == "blue" else ("input", "prerouting", "output", "postrouting", "forward")
        hook, ip = rng.choice(hooks), pool.family.nft
        rule = rng.choice((f"{ip} saddr {pool.own(rng)} drop", f"{ip} daddr {pool.own(rng)} drop", "meta mark set 1", "counter", f"{ip} dscp set 4"))
        kind = "route" if hook == "output" else "filter"
        return self.nft(child, "inet", f"type {kind} hook {hook} priority mangle; {rule};")

    def marks(self, pool):
        """Marks that an uplink gives."""
        device = self.rng.choice(("up0", "up1"))
        return self.nft("par", "netdev", f"type filter hook ingress device {device} priority 0; {pool.family.nft} saddr {pool.own(self.rng)} meta mark set 1;")

    def nft(self, space, family, chain):
        """Replaces the rules of a space by one, or none."""
        text = f"table {family} own\ndelete table {family} own\n"
        if self.rng.random() < 0.6:
            text += f"table {family} own {{ chain a {{ {chain} }}\n}}\n"
        for world in self.worlds:
            world.spaces[space].nft(text)
        return f"{space}: nft {text.splitlines()[2:]}"

    def flush(self, _pool):
        """What the kernel learned of routes."""
        return self.ip("par", "route", "flush", "cache")
