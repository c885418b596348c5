# SPDX-License-Identifier: GPL-2.0
"""Builds one contestant: an uplink, a parent, children, and what joins them."""
import os
import time
import tomllib
from contextlib import closing
from pathlib import Path

from addresses import OUTSIDE_MAC, PORT_MAC, UPLINK_MAC, Plan, addresses_for, child_mac
from netns import CommandFailed, Namespace, set_all
from pktgen import newest_threads
from redirect import Redirect
from rtnl import Rtnl

TABLE = Path(os.environ.get("BENCH_PATHS") or Path(__file__).resolve().parent.parent / "paths.toml")
# Seconds until the kernel is quiet. Where time is counted in instructions the
# guest's idle time takes none of ours.
SETTLE = 0.05 if os.environ.get("LAB") == "uml" else 0.3
FORWARDING = {4: ("ipv4/conf/all/forwarding", "1"), 6: ("ipv6/conf/all/forwarding", "1")}


def table():
    """The contestants, in the order of the table."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))["path"]


def link_type(path):
    """What follows the word `type` when a device of a contestant is made."""
    if "beside" in path:
        return f"passthru shortcut {path['beside']}"
    return path["link"] + (f" shortcut {path['shortcut']}" if "shortcut" in path else "")


def why_missing(path):
    """What the kernel says if a contestant cannot be made; None if it can."""
    if path["kind"] == "host" and "beside" not in path:
        return None
    namespace, other = Namespace(), Namespace()
    try:
        if path["kind"] == "slave":
            namespace.batch(["link add up0 type dummy",
                             f"link add c0 link up0 type {path['link']}"])
        else:
            namespace.batch([f"link add p0 type {link_type(path)} peer name c0 netns {other.path}"])
    except CommandFailed as error:
        return str(error).partition(": ")[2]
    finally:
        namespace.close()
        other.close()
    return None


def settle():
    """Lets the kernel finish what earlier namespaces left to do."""
    time.sleep(SETTLE)


class Child:
    """A child's namespace and what the parent needs to know of it."""

    def __init__(self, number, namespace):
        self.number = number
        self.namespace = namespace
        self.port = None
        self.mac = child_mac(number)


class Side:
    """What one IP version has been given of a network so far."""

    def __init__(self, ip):
        self.plan = Plan(ip)
        self.addresses = []             # the child of each address
        self.first = {}                 # the first address of each child
        self.ready = 0                  # children that know the way out


class Network:
    """A parent with its uplink and children; `with` takes it down again.

    It begins with one IP version; speak() turns it to the other, on the same children.

    uplink  "dummy": packets come from pktgen and end at the device
            "veth": packets come from and go to a namespace outside
    introduced  whether all know the link-layer addresses that they will need
    """

    def __init__(self, path, ip, uplink="dummy", children=1, introduced=True):
        self.path = path
        self._introduced = introduced
        self._sides = {ip: Side(ip)}
        self._side = self._sides[ip]
        self.children = []
        self.sinks = {}                 # sockets that stay, by IP version
        self.outside = None
        self.has_rules = False          # whether the parent filters
        self._others = []               # namespaces that no packet is for
        self.parent = Namespace([FORWARDING[ip]])
        self.generators = newest_threads()
        self.rtnl = Rtnl(self.parent)
        self._redirect = None
        self._make_uplink(uplink)
        if path["kind"] == "bridge":
            self._make_bridge()
        if "bpf" in path:
            self._redirect = Redirect(self.parent, self.uplink, path["bpf"])
        if "beside" in path:
            self._make_beside()
        self.grow(children)

    @property
    def plan(self):
        """The addresses of the IP version that is spoken."""
        return self._side.plan

    @property
    def addresses(self):
        """The child that has each of them."""
        return self._side.addresses

    def address_of(self, child):
        """A child's first address of the IP version that is spoken."""
        return self._side.first[child]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Lets go of everything; the kernel cleans up by itself."""
        if self._redirect:
            self._redirect.close()
        for holder in (*self.sinks.values(), *(child.rtnl for child in self.children)):
            holder.close()
        self.rtnl.close()
        if self.outside:
            self._outside_rtnl.close()
        spaces = [child.namespace for child in self.children]
        spaces += [self.parent, self.outside, *self._others]
        for namespace in {space for space in spaces if space}:
            namespace.close()
        self.children = []

    # --- the uplink and what is behind it ---

    def _make_uplink(self, uplink):
        if uplink == "dummy":
            self.parent.batch([f"link add up0 address {UPLINK_MAC} type dummy"])
        else:
            self.outside = Namespace()
            self.parent.batch([f"link add up0 address {UPLINK_MAC} type veth peer name out0 "
                               f"address {OUTSIDE_MAC} netns {self.outside.path}"])
            self._set_up_outside()
        self.uplink = self.rtnl.index("up0")
        self.rtnl.up(self.rtnl.index("lo"))
        self.rtnl.up(self.uplink)
        self.lan = self.uplink
        if self.path["kind"] != "bridge":
            self._address_lan()

    def _address_lan(self):
        self.rtnl.address(self.lan, self.plan.parent, self.plan.lan)
        self.rtnl.neighbour(self.lan, self.plan.outside, OUTSIDE_MAC)

    def _set_up_outside(self):
        plan, rtnl = self.plan, Rtnl(self.outside)
        out0 = rtnl.index("out0")
        rtnl.up(out0)
        rtnl.address(out0, plan.outside, plan.lan)
        rtnl.neighbour(out0, plan.parent, UPLINK_MAC)
        if not self.path.get("own_mac"):
            rtnl.route(out0, plan.children, plan.children_length, plan.parent)
        else:
            rtnl.route(out0, plan.children, plan.children_length)
        self._outside_rtnl, self._out0 = rtnl, out0

    def _make_bridge(self):
        self.parent.batch([f"link add br0 address {UPLINK_MAC} type bridge mcast_snooping 0 vlan_default_pvid 0",
                           "link set up0 master br0"])
        self.lan = self.rtnl.index("br0")
        self.rtnl.up(self.lan)
        self._address_lan()

    def _make_beside(self):
        """A port, and the route of a child that gets no packet."""
        other = Namespace()
        self._others.append(other)
        self.parent.batch([f"link add p0 type {link_type(self.path)} peer name c0 "
                           f"netns {other.path}"])
        port = self.rtnl.index("p0")
        self.rtnl.up(port)
        with closing(Rtnl(other)) as rtnl:
            rtnl.up(rtnl.index("c0"))
        # As its children would have it: local ones make the kernel's own source
        # validation slower for all of the parent's traffic.
        self.rtnl.route(port, self.plan.nobody, self.plan.host,
                        local=self.path["beside"] == "netfilter")

    def quiet(self):
        """Waits until nothing more happens by itself, and a grace period of RCU is over.

        The kernel tells of a carrier up to a second late, and IPv6 counts that as a change of its
        routes: a cache of them would begin anew while something is measured.
        """
        self._note_carriers()
        settle()

    def _note_carriers(self):
        for index in {self.uplink, self.lan}:
            self.rtnl.note_carrier(index)
        if self.outside:
            self._outside_rtnl.note_carrier(self._out0)
        for child in self.children:
            child.rtnl.note_carrier(child.device)
            if child.port:
                self.rtnl.note_carrier(child.port)

    # --- children ---

    def become(self, path):
        """Turns the children into those of another path, which differs in its shortcuts."""
        if path["name"] == self.path["name"]:
            return
        if self.path.get("route") == "local":
            self._local_routes(self.rtnl.unroute)
        self.parent.batch([f"link set p{child.number} type {path['link']} "
                           f"shortcut {path.get('shortcut', 'none')}" for child in self.children])
        self.path = path
        if path.get("route") == "local":
            self._local_routes(self.rtnl.route)
        settle()

    def _local_routes(self, change):
        """They win against the unicast ones, which stay."""
        for side in self._sides.values():
            for i, child in enumerate(side.addresses):
                change(child.port, side.plan.child(i), side.plan.host, local=True)

    def speak(self, ip):
        """Turns to an IP version; all children get addresses of it, once."""
        if ip not in self._sides:
            self._sides[ip] = Side(ip)
            with self.parent:
                set_all([FORWARDING[ip]])
            self._side = self._sides[ip]
            self._address_lan()
        self._side = self._sides[ip]
        self._complete()

    def grow(self, children):
        """Adds children until there are so many, and waits until all is quiet."""
        if len(self.children) < children:
            self.make(children)
            self.quiet()

    def make(self, children):
        """Adds children until there are so many."""
        for number in range(len(self.children), children):
            is_host = self.path["kind"] == "host"
            child = Child(number, self.parent if is_host else Namespace())
            if not is_host:
                self._link(child)
            self._configure(child)
            self.children.append(child)
        self._complete()

    def present(self):
        """How many children have their device."""
        def has_one(child):
            try:
                return child.rtnl.index("c0") == child.device
            except OSError:
                return False
        return sum(has_one(child) for child in self.children)

    def _complete(self):
        """Gives children what they have not got yet of the IP version that is spoken."""
        if self.path["kind"] != "host":
            for child in self.children[self._side.ready:]:
                self._add_way_out(child)
        self._side.ready = len(self.children)
        self._give_addresses(addresses_for(self.plan.ip, len(self.children)))
        if self._redirect:
            self._redirect.attach(child.port for child in self.children)

    def _link(self, child):
        """Makes a child's device, and the port if it has one; where no address is said, it is random."""
        path = self.path
        mac = child.mac if path.get("mac") and path["kind"] != "slave" or path.get("own_mac") else None
        device = "c0", mac, child.namespace
        if path["kind"] == "slave":
            self.rtnl.slave(path["link"], device, self.uplink)
            return
        port_mac = PORT_MAC if mac and path["kind"] == "pair" else None
        self.rtnl.pair(path["link"], (f"p{child.number}", port_mac), device, path.get("shortcut"))

    def _configure(self, child):
        if self.path["kind"] == "host":
            child.device = self.uplink
            child.rtnl = self.rtnl
            return
        child.rtnl = Rtnl(child.namespace)
        child.device = child.rtnl.index("c0")
        child.rtnl.up(child.rtnl.index("lo"))
        child.rtnl.up(child.device)
        self._configure_port(child)

    def _configure_port(self, child):
        if self.path["kind"] == "slave":
            return
        child.port = self.rtnl.index(f"p{child.number}")
        self.rtnl.up(child.port)
        if self.path["kind"] == "bridge":
            self.rtnl.enslave(child.port, self.lan)
            if self._introduced:
                self.rtnl.forwarding_entry(child.port, child.mac)

    def _add_way_out(self, child):
        """The child's default route."""
        any_, gateway = self.plan.any, self.plan.gateway
        if not self.path.get("mac"):
            child.rtnl.route(child.device, any_, 0)
            return
        if self._introduced:
            routed = self.path["kind"] == "pair"
            child.rtnl.neighbour(child.device, gateway, PORT_MAC if routed else OUTSIDE_MAC)
        child.rtnl.route(child.device, any_, 0, gateway)

    def _give_addresses(self, count):
        # pktgen begins with the first link-layer address and the second of IP.
        ahead = 1 if self.path.get("own_mac") else 0
        for i in range(len(self.addresses), count):
            child = self.children[(i - ahead) % len(self.children)]
            self._give_address(child, self.plan.child(i))
            self.addresses.append(child)
            self._side.first.setdefault(child, self.plan.child(i))
        if self.path["kind"] in ("bridge", "slave") and self.path.get("mac") and self._introduced:
            self._introduce_siblings()
        if self.path["kind"] == "bridge" and self._introduced and self.children:
            self._introduce_parent()

    def _give_address(self, child, address):
        child.rtnl.address(child.device, address, self.plan.host)
        if self.path["kind"] in ("pair",):
            self._route_to(child, address)
        elif self.path.get("own_mac") and self.outside:
            self._outside_rtnl.neighbour(self._out0, address, child.mac)
        if self._redirect:
            self._redirect.add(address, child.port)

    def _route_to(self, child, address):
        local = self.path.get("route") == "local"
        self.rtnl.route(child.port, address, self.plan.host, local=local)
        if self.path.get("mac") and self._introduced:
            self.rtnl.neighbour(child.port, address, child.mac)

    def _introduce_siblings(self):
        """The first two children of a LAN reach each other without ARP."""
        for here, there in ((0, 1), (1, 0)):
            if len(self.children) < 2:
                return
            child, other = self.children[here], self.children[there]
            mac = other.mac if self.path.get("own_mac") else UPLINK_MAC
            child.rtnl.neighbour(child.device, self.address_of(other), mac)
            child.rtnl.route(child.device, self.address_of(other), self.plan.host)

    def _introduce_parent(self):
        """The first child of a bridge and the parent itself reach each other without ARP."""
        child, plan = self.children[0], self.plan
        child.rtnl.neighbour(child.device, plan.parent, UPLINK_MAC)
        child.rtnl.route(child.device, plan.parent, plan.host)
        self.rtnl.neighbour(self.lan, self.address_of(child), child.mac)
        self.rtnl.route(self.lan, self.address_of(child), plan.host)


def guest_file(name):
    """A compiled helper."""
    return os.environ.get("BENCH_BUILD", "/passthru/build/bench") + "/" + name
