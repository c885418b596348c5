# SPDX-License-Identifier: GPL-2.0
"""Links, addresses, routes and neighbours by rtnetlink.

A program per address is too slow for thousands of namespaces, so the few
requests that are made once per child are sent from here, for all contestants alike.
"""
import ipaddress
import os
import socket
import struct

REQUEST, ACK, CREATE, REPLACE = 1, 4, 0x400, 0x100
NEWLINK, GETLINK, SETLINK, NEWADDR, NEWROUTE, DELROUTE, NEWNEIGH = 16, 18, 19, 20, 24, 25, 28
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 5, 10, 18, 28
INFO_KIND, INFO_DATA, INFO_PEER, NESTED = 1, 2, 1, 0x8000
# What follows the type of a link in paths.toml: its attribute, and the words' values.
MODES = {"ipvlan": (1, "H", {"l2": 0, "l3": 1, "l3s": 2}), "macvlan": (1, "I", {"bridge": 4})}
IFLA_PASSTHRU_SHORTCUTS, SHORTCUTS = 4, ("device", "route", "netfilter", "socket", "output")
IFF_UP = 1
IFA_LOCAL, IFA_ADDRESS, IFA_F_NODAD = 2, 1, 2
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTNH_F_ONLINK = 1, 2, 4, 5, 4
NDA_DST, NDA_LLADDR, NUD_PERMANENT, NUD_NOARP, NTF_MASTER = 1, 2, 0x80, 0x40, 4
AF_BRIDGE = 7
NO_DEVICE = struct.pack("BxHiII", 0, 0, 0, 0, 0)
NLMSG_ERROR = 2
UNICAST, LOCAL = 1, 2
TABLE_MAIN, TABLE_LOCAL = 254, 255
SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_HOST = 0, 253, 254


def _attribute(kind, data):
    return struct.pack("HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def _packed(address):
    return ipaddress.ip_address(address).packed


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))


def _named(name, mac=None, namespace=None):
    """The attributes that all links have."""
    data = _attribute(IFLA_IFNAME, name.encode() + b"\0")
    if mac:
        data += _attribute(IFLA_ADDRESS, _mac(mac))
    if namespace:
        data += _attribute(IFLA_NET_NS_FD, struct.pack("I", namespace.fd))
    return data


def _kind(link, data):
    """IFLA_LINKINFO of a link as paths.toml names it: "ipvlan mode l2"."""
    kind, *mode = link.split()
    if mode:
        number, form, values = MODES[kind]
        data += _attribute(number, struct.pack(form, values[mode[1]]))
    return _attribute(IFLA_LINKINFO | NESTED, _attribute(INFO_KIND, kind.encode())
                      + _attribute(INFO_DATA | NESTED, data))


def _shortcuts(names):
    """The set that a port is given; nothing for no set, which is the default."""
    if not names:
        return b""
    chosen = SHORTCUTS if names == "all" else names.split(",")
    bits = sum(1 << SHORTCUTS.index(name) for name in chosen)
    return _attribute(IFLA_PASSTHRU_SHORTCUTS, struct.pack("I", bits))


def _family(packed):
    return socket.AF_INET if len(packed) == 4 else socket.AF_INET6


class Rtnl:
    """A rtnetlink socket in the namespace it was made in."""

    def __init__(self, namespace):
        self.namespace = namespace
        with namespace:
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self.socket.bind((0, 0))

    def close(self):
        """Closes the socket, which would keep the namespace alive."""
        self.socket.close()

    def _ask(self, what, kind, body, *attributes):
        data = body + b"".join(attributes)
        flags = REQUEST | ACK | CREATE | REPLACE
        self.socket.send(struct.pack("IHHII", 16 + len(data), kind, flags, 1, 0) + data)
        reply = self.socket.recv(8192)
        error = -struct.unpack_from("i", reply, 16)[0]
        if struct.unpack_from("H", reply, 4)[0] != NLMSG_ERROR or error:
            raise OSError(error, f"{what}: {os.strerror(error)}")

    def index(self, name):
        """The ifindex of a device."""
        with self.namespace:
            return socket.if_nametoindex(name)

    def up(self, index):
        """Brings a device up."""
        self._ask("link up", SETLINK, struct.pack("BxHiII", 0, 0, index, IFF_UP, IFF_UP))

    def note_carrier(self, index):
        """Makes the kernel act on a change of a device's carrier now.

        It does so before it answers; left alone it may take a second. C: `linkwatch_sync_dev()`.
        """
        body = struct.pack("BxHiII", 0, 0, index, 0, 0)
        self.socket.send(struct.pack("IHHII", 16 + len(body), GETLINK, REQUEST, 1, 0) + body)
        self.socket.recv(1 << 16)

    def pair(self, link, port, peer, shortcuts=None):
        """Makes a pair of devices. Each is a name, a link-layer address and a namespace."""
        data = _attribute(INFO_PEER | NESTED, NO_DEVICE + _named(*peer)) + _shortcuts(shortcuts)
        self._ask(f"link {port[0]}", NEWLINK, NO_DEVICE, _named(*port), _kind(link, data))

    def slave(self, link, device, lower):
        """Makes a device on top of another."""
        self._ask(f"link {device[0]}", NEWLINK, NO_DEVICE, _named(*device),
                  _attribute(IFLA_LINK, struct.pack("I", lower)), _kind(link, b""))

    def address(self, index, address, length):
        """Adds an address."""
        packed = _packed(address)
        body = struct.pack("BBBBi", _family(packed), length, IFA_F_NODAD, 0, index)
        self._ask(f"address {address}", NEWADDR, body,
                  _attribute(IFA_LOCAL, packed), _attribute(IFA_ADDRESS, packed))

    def route(self, index, target, length, gateway=None, local=False, kind=NEWROUTE):
        """Adds a route through a device; the gateway need not be on its link."""
        packed = _packed(target)
        scope = SCOPE_HOST if local else SCOPE_UNIVERSE if gateway else SCOPE_LINK
        body = struct.pack("BBBBBBBBI", _family(packed), length, 0, 0,
                           TABLE_LOCAL if local else TABLE_MAIN, 3, scope,
                           LOCAL if local else UNICAST, RTNH_F_ONLINK if gateway else 0)
        attributes = [_attribute(RTA_OIF, struct.pack("i", index))]
        if length:
            attributes.append(_attribute(RTA_DST, packed))
        if gateway:
            attributes.append(_attribute(RTA_GATEWAY, _packed(gateway)))
        self._ask(f"route {target}", kind, body, *attributes)

    def route_by_source(self, index, target, source):
        """Adds an IPv6 route to an address for packets from one address only."""
        body = struct.pack("BBBBBBBBI", socket.AF_INET6, 128, 128, 0, TABLE_MAIN, 3,
                           SCOPE_UNIVERSE, UNICAST, 0)
        self._ask(f"route {target} from {source}", NEWROUTE, body,
                  _attribute(RTA_DST, _packed(target)), _attribute(RTA_SRC, _packed(source)),
                  _attribute(RTA_OIF, struct.pack("i", index)))

    def unroute(self, index, target, length, local=False):
        """Removes a route."""
        self.route(index, target, length, local=local, kind=DELROUTE)

    def neighbour(self, index, address, mac):
        """Adds a permanent neighbour."""
        packed = _packed(address)
        body = struct.pack("BxxxiHBB", _family(packed), index, NUD_PERMANENT, 0, 0)
        self._ask(f"neighbour {address}", NEWNEIGH, body, _attribute(NDA_DST, packed),
                  _attribute(NDA_LLADDR, _mac(mac)))

    def enslave(self, index, master):
        """Puts a device into a bridge."""
        self._ask("port", SETLINK, struct.pack("BxHiII", 0, 0, index, 0, 0),
                  _attribute(IFLA_MASTER, struct.pack("I", master)))

    def forwarding_entry(self, port, mac):
        """Tells a bridge which port leads to a link-layer address."""
        body = struct.pack("BxxxiHBB", AF_BRIDGE, port, NUD_NOARP, NTF_MASTER, 0)
        self._ask(f"forwarding entry {mac}", NEWNEIGH, body,
                  _attribute(NDA_LLADDR, _mac(mac)))
