# SPDX-License-Identifier: GPL-2.0
"""The address plan: RFC 2544's and RFC 5180's benchmarking ranges."""
import ipaddress

PORT = 5000             # every sink and listener
OUTSIDE_MAC = "02:00:00:00:00:02"
UPLINK_MAC = "02:00:00:00:00:01"
PORT_MAC = "02:00:00:00:00:03"

_PLAN = {
    4: {"lan": 16, "host": 32, "parent": "198.18.0.1", "outside": "198.18.0.2",
        "gateway": "198.18.0.3", "nobody": "198.19.0.1", "children": "198.19.64.0",
        "children_length": 18,
        "any": "0.0.0.0", "far": "10.0.0.0", "far_length": 8},
    6: {"lan": 64, "host": 128, "parent": "2001:2::1", "outside": "2001:2::2",
        "gateway": "2001:2::3", "nobody": "2001:2:0:2::1", "children": "2001:2:0:1::",
        "children_length": 64, "any": "::"},
}


class Plan:
    """Addresses of one IP version."""

    def __init__(self, ip):
        plan = _PLAN[ip]
        self.ip = ip
        self.lan = plan["lan"]
        self.host = plan["host"]
        self.parent = plan["parent"]
        self.outside = plan["outside"]
        self.gateway = plan["gateway"]
        # Where random sources are: so many that hardly one comes by twice.
        self.far, self.far_length = plan.get("far"), plan.get("far_length")
        self.any = plan["any"]
        self.nobody = plan["nobody"]
        self.children_length = plan["children_length"]
        self.children = plan["children"]
        self._first = ipaddress.ip_address(plan["children"])

    @property
    def far_last(self):
        """The last of the addresses behind the outside."""
        return str(ipaddress.ip_network(f"{self.far}/{self.far_length}").broadcast_address)

    def child(self, i):
        """The i-th address; those of one child need not be in sequence."""
        return str(self._first + i)


def addresses_for(ip, children):
    """How many addresses so many children have.

    pktgen walks IPv4 destinations in sequence, but draws those of IPv6 at
    random from a power of two: some children then have two addresses.
    """
    if ip == 4 or children == 1:
        return children
    return 1 << (children - 1).bit_length()


def child_mac(i):
    """A child's own link-layer address."""
    return f"02:01:00:00:{i >> 8:02x}:{i & 255:02x}"
