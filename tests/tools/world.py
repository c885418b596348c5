#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the tests of shortcuts have in common: namespaces, sockets in them, and
what can be seen of a packet's way.

A library for the other tools. It knows the world that shortcuts.sh makes: the
namespace of the tool is the parent, with the uplink `up0` to the namespace
`outside`, and the ports `p1` to the child `blue` and `p2` to the child `red`.
"""

import array
import fcntl
import functools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

PORT = 7001
PLACES = ("device", "route", "netfilter", "socket", "sibling")
# Longest time until a packet is where it goes: a busy machine may stand still for seconds.
PATIENCE = 20
# How long nothing has to come until nothing comes.
SILENCE = 1.0 if os.environ.get("LAB") == "debug" else 0.15


class Family:
    """Addresses of the world in one IP version."""

    def __init__(self, version):
        self.version = version
        self.name = f"IPv{version}"
        self.af = socket.AF_INET if version == 4 else socket.AF_INET6
        self.any = "0.0.0.0" if version == 4 else "::"
        self.outside = "192.0.2.2" if version == 4 else "2001:db8:2::2"
        self.uplink = "192.0.2.1" if version == 4 else "2001:db8:2::1"
        self.nft = "ip" if version == 4 else "ip6"
        self.tc = "ip" if version == 4 else "ipv6"
        self.bits = 32 if version == 4 else 128

    def port(self, number):
        """The parent's address on a port."""
        return f"10.0.{number}.1" if self.version == 4 else f"fd00:{number}::1"

    def child(self, number):
        """A child's address."""
        return f"10.0.{number}.2" if self.version == 4 else f"fd00:{number}::2"

    def host(self, address):
        """The address as a prefix of its own."""
        return f"{address}/{self.bits}"

    def ip(self, *words):
        """A command of ip for this version."""
        return ("ip", f"-{self.version}", *words)

    def raw(self, address):
        """The address as bytes."""
        return socket.inet_pton(self.af, address)


V4, V6 = Family(4), Family(6)
FAMILIES = (V4, V6)


class Batch:
    """An `ip` that runs one command after the other, as a process each is slow."""

    running = {}

    @classmethod
    def end_all(cls):
        """Ends them all; new ones begin when they are needed."""
        for batch in cls.running.values():
            batch.process.stdin.close()
            batch.process.stderr.close()
            batch.process.wait()
        cls.running.clear()

    def __init__(self, options):
        self.process = subprocess.Popen(
            ["ip", *options, "-force", "-batch", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.line = 0

    def run(self, words):
        """Runs a command to its end; returns what it complained of."""
        # Of a command that does not exist it complains at once, when it gets there.
        self.process.stdin.write(" ".join(words) + "\nend-of-command\n")
        self.process.stdin.flush()
        self.line += 2
        complaints = ""
        while f"Command failed -:{self.line}\n" not in complaints:
            text = self.process.stderr.readline()
            if not text:
                return complaints + "ip has died"
            complaints += text
        return complaints.split('Object "end-of-command"', maxsplit=1)[0]


class Space:
    """A network namespace; `with space:` is to be in it."""

    def __init__(self, name):
        self.name = name
        self.fd = os.open("/proc/self/ns/net" if name == "-" else f"/run/netns/{name}", os.O_RDONLY)
        self.before = []

    def __del__(self):
        os.close(self.fd)

    def __enter__(self):
        self.before.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        os.setns(self.fd, os.CLONE_NEWNET)
        return self

    def __exit__(self, *_):
        fd = self.before.pop()
        os.setns(fd, os.CLONE_NEWNET)
        os.close(fd)

    def socket(self, *args):
        """A socket that belongs to this namespace."""
        with self:
            sock = socket.socket(*args)
        sock.settimeout(PATIENCE)
        return sock

    def udp(self, family, port=0, address=None):
        """A bound UDP socket of one IP version."""
        sock = self.socket(family.af, socket.SOCK_DGRAM)
        if family is V6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address or family.any, port))
        return sock

    def listener(self, family, port, address=None):
        """A TCP socket that listens."""
        sock = self.socket(family.af, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is V6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address or family.any, port))
        sock.listen(16)
        return sock

    def call(self, *command, check=True, feed=None):
        """Runs a command here and returns what it prints."""
        if command[0] == "ip" and {"add", "del", "delete", "set", "replace", "flush"} & set(command[1:5]):
            if "link" not in command or not {"add", "del", "netns"} & set(command):
                return self.change(command[1:], check)
            # What a running `ip` knows of devices is no longer true.
            Batch.end_all()
        with self:
            done = subprocess.run(command, input=feed, capture_output=True, text=True, check=False)
        if check and done.returncode:
            print(f"not ok set-up: {' '.join(command)}\n# " + done.stderr.strip().replace("\n", "\n# "))
        return done.stdout

    def change(self, words, check):
        """Runs a command of ip that prints nothing."""
        options = tuple(word for word in words[:1] if word.startswith("-"))
        if "addr" in words[:2] and {"add", "replace"} & set(words[:3]) and any(":" in word for word in words):
            # Until a worker has come by, a new IPv6 address is tentative and of no
            # use, though nobody looks for duplicates.
            words = (*words, "nodad")
        key = (self.name, options)
        if key not in Batch.running:
            with self:
                Batch.running[key] = Batch(options)
        complaints = Batch.running[key].run(words[len(options) :])
        if check and complaints:
            print(f"not ok set-up: ip {' '.join(words)}\n# " + complaints.strip().replace("\n", "\n# "))
        elif "nodad" in words:
            self.receives(words[words.index("dev") + 1], next(word for word in words if ":" in word))
        return ""

    def receives(self, device, address):
        """Waits until an IPv6 address of a device that is up is what its packets
        are for: a worker of the kernel's makes its local route after `ip` is done."""
        wanted = socket.inet_pton(socket.AF_INET6, address.split("/")[0]).hex()

        def up():
            with self.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                request = struct.pack("16sH14x", device.encode(), 0)
                return struct.unpack_from("=H", fcntl.ioctl(sock, 0x8913, request), 16)[0] & 1  # SIOCGIFFLAGS, IFF_UP

        def there():
            with self, open("/proc/thread-self/net/ipv6_route", encoding="ascii") as file:
                routes = [line.split() for line in file]
            # RTF_LOCAL
            return any(route[:2] == [wanted, "80"] and int(route[8], 16) & 0x80000000 for route in routes)

        until(lambda: there() or not up())

    def nft(self, rules):
        """Feeds rules to nft."""
        self.call("nft", "-f", "-", feed=rules)

    def sysctl(self, **values):
        """Sets switches; a double underscore in a name stands for a dot."""
        with self:
            for name, value in values.items():
                path = "/proc/sys/net/" + name.replace("__", "/")
                with open(path, "w", encoding="ascii") as file:
                    file.write(str(value))

    def snmp(self, protocol, counter):
        """A counter of the namespace's IPv4 or IPv6 statistics."""
        with self:
            if protocol.endswith("6"):
                with open("/proc/thread-self/net/snmp6", encoding="ascii") as file:
                    return int(dict(line.split() for line in file)[protocol + counter])
            with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
                lines = [line.split() for line in file if line.startswith(protocol + ":")]
            return int(dict(zip(*lines))[counter])


def report(good, name, *details):
    """Prints one result."""
    print(f"{'ok' if good else 'not ok'} {name}")
    if not good:
        for detail in details:
            print(f"# {detail}")
    sys.stdout.flush()
    return good


def same(got, want, name):
    """Prints one result: the two are the same."""
    return report(got == want, name, f"got:  {got}", f"want: {want}")


def skip(name, reason):
    """Prints a result that this kernel has no way to give."""
    print(f"ok {name} # SKIP {reason}")


def shortcut(port, words, parent=None):
    """Sets the shortcuts of a port."""
    (parent or Space("-")).call("ip", "link", "set", port, "type", "passthru", "shortcut", words)


def ticks():
    """The kernel's count of time."""
    with open("/proc/timer_list", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("jiffies:"))


@functools.cache
def tick_rate():
    """How much that grows in a second: a number that kernels are made with."""
    first, begin = ticks(), time.monotonic()
    time.sleep(0.5)
    measured = (ticks() - first) / (time.monotonic() - begin)
    return min((100, 250, 300, 1000), key=lambda rate: abs(rate - measured))


def second():
    """Which one it is of the seconds in which `device` knows a connection that the
    parent tracks."""
    return ticks() // tick_rate()


def begin_second():
    """Waits until one of them begins, and says which: what is counted is all by that
    as long as it is the same."""
    rate = tick_rate()
    time.sleep((rate - ticks() % rate + 1) / rate)
    return second()


def places_taken(port, parent=None):
    """How many packets took each place, by the port's own statistics."""
    numbers = statistics(parent or Space("-"), port)
    return {place: numbers.get(f"rx_{place}", -1) for place in PLACES}


def statistics(space, device):
    """What `ethtool -S` shows."""
    most, name = 100, struct.pack("16s", device.encode())
    with space.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:

        def ask(head, size):
            request = bytearray(head + bytes(size))
            data = array.array("B", request)
            fcntl.ioctl(sock, 0x8946, name + struct.pack("P", data.buffer_info()[0]) + bytes(8))  # SIOCETHTOOL
            return bytes(data)

        names = ask(struct.pack("=III", 0x1B, 1, 0), 32 * most)  # ETHTOOL_GSTRINGS
        count = struct.unpack_from("=I", names, 8)[0]
        values = ask(struct.pack("=II", 0x1D, 0), 8 * most)  # ETHTOOL_GSTATS
    keys = [names[12 + 32 * at : 44 + 32 * at].split(b"\0", 1)[0].decode() for at in range(count)]
    return dict(zip(keys, struct.unpack_from(f"={count}Q", values, 8)))


def difference(after, before):
    """What was counted meanwhile, without what did not change."""
    return {key: after[key] - before[key] for key in after if after[key] != before[key]}


# The chains that can see a packet, and the names of their counters.
CHAINS = {
    "pre": "type filter hook prerouting priority raw",
    "in": "type filter hook input priority 300",
    "fwd": "type filter hook forward priority 0",
    "post": "type filter hook postrouting priority 300",
    "out": "type filter hook output priority 300",
}


def watch(space, match, chains=tuple(CHAINS)):
    """Counts packets that match an nft expression, in chains of a namespace."""
    counters = "".join(f"counter n_{name} {{}}\n" for name in CHAINS)
    chains = "".join(
        f"chain c_{name} {{ {hook}; policy accept; {match} counter name n_{name}; }}\n" for name, hook in CHAINS.items() if name in chains
    )
    space.nft(f"table inet view\ndelete table inet view\ntable inet view {{\n{counters}{chains}}}\n")


def unwatch(space):
    """Takes the counters away, and with them their hooks."""
    space.nft("table inet view\ndelete table inet view\n")


def seen(space, reset=True):
    """What was counted in each chain, without those that counted nothing."""
    listing = json.loads(space.call("nft", "-j", "reset" if reset else "list", "counters", "table", "inet", "view"))
    found = {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listing["nftables"] if "counter" in entry}
    return {name: found[f"n_{name}"] for name in CHAINS if found.get(f"n_{name}")}


def drain(sock, wait=0.0):
    """What a socket has, and what comes in so many seconds."""
    end, got = time.monotonic() + wait, []
    while select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
        got.append(sock.recv(1 << 17))
    return got


def gather(sock, count, marker=b"", patience=PATIENCE):
    """What a socket gets until there are so many with a marker, however long that
    takes, and what is there beside them."""
    end, got, marked = time.monotonic() + patience, [], 0
    while marked < count and select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
        got.append(sock.recv(1 << 17))
        marked += marker in got[-1]
    return got + drain(sock)


def until(wanted):
    """Asks until it is so, however long that takes; what it was at the end."""
    end = time.monotonic() + PATIENCE
    while not (got := wanted()) and time.monotonic() < end:
        time.sleep(0.02)
    return got


def grace_period():
    """Waits until what is known of IPv6 may be remembered: a grace period of RCU after the first packet
    that came in a new state of affairs. The end of a packet socket waits for one."""
    socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()


def introduce(family, device="up0", address=None):
    """The parent knows a neighbour of its for good, and what header comes before packets to it, as it does of
    one that it has sent to for a while: what children send by `output` may be given to the driver at once."""
    space, address = Space("-"), address or family.outside
    ping(space, family, address)
    found = json.loads(space.call("ip", f"-{family.version}", "-j", "neigh", "show", address, "dev", device))
    known = family.ip("neigh", "replace", address, "dev", device, "lladdr", found[0]["lladdr"], "nud")
    # The header is put together for one that may have gone.
    space.call(*known, "stale")
    ping(space, family, address)
    space.call(*known, "permanent")


def forget(family, device="up0", address=None):
    """Takes that back."""
    Space("-").call(*family.ip("neigh", "del", address or family.outside, "dev", device))


def runs(device):
    """Waits until a device of the parent's can send. Where its peer came up after
    it, a worker of the kernel's sees to that, or who reads its carrier."""

    def carrier():
        with open(f"/sys/class/net/{device}/carrier", encoding="ascii") as file:
            return file.read().strip() == "1"

    until(carrier)


class Ears:
    """UDP sockets on one port in several namespaces: who gets a packet?"""

    def __init__(self, spaces, families=FAMILIES, port=PORT):
        self.names = {}
        for space in spaces:
            for family in families:
                self.names[space.udp(family, port)] = space.name

    def hear(self, wait):
        """What arrived, as (namespace, payload); waits for the first only."""
        heard = []
        while True:
            ready = select.select(list(self.names), [], [], wait)[0]
            if not ready:
                return heard
            for sock in ready:
                heard.append((self.names[sock], sock.recv(65536)))
            wait = 0

    def owner(self, send, silent=False):
        """Sends a datagram by send(token) and says who got it: a namespace's
        name, "nobody", or several names."""
        self.hear(0)
        token = os.urandom(8).hex().encode()
        try:
            send(token)
        except OSError as error:
            return f"nobody ({os.strerror(error.errno)})"
        end = time.monotonic() + (SILENCE if silent else PATIENCE)
        got = []
        while not got and time.monotonic() < end:
            got = [name for name, data in self.hear(0.02) if data.endswith(token)]
        return " ".join(got) or "nobody"

    def close(self):
        """Closes the sockets."""
        for sock in self.names:
            sock.close()


def checksum(data):
    """The Internet checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_packet(family, source, dest, payload, port=PORT, sport=4242, ttl=64, tos=0, extra=b"", next_header=None):
    """A whole IP packet with a UDP datagram; `extra` is options (IPv4) or
    extension headers (IPv6), of which the first is `next_header`."""
    src, dst = family.raw(source), family.raw(dest)
    length = 8 + len(payload)
    datagram = struct.pack("!HHHH", sport, port, length, 0) + payload
    pseudo = src + dst + struct.pack("!II", length, socket.IPPROTO_UDP) + datagram
    total = checksum(pseudo) or 0xFFFF
    datagram = datagram[:6] + struct.pack("!H", total) + datagram[8:]
    if family is V6:
        first = next_header if extra else socket.IPPROTO_UDP
        body = extra + datagram
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(body), first, ttl) + src + dst + body
    words = 5 + len(extra) // 4
    header = struct.pack("!BBHHHBBH", 4 << 4 | words, tos, words * 4 + length, 1, 0, ttl, socket.IPPROTO_UDP, 0)
    header += src + dst + extra
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + datagram


class Wire:
    """Puts whole IP packets on an Ethernet device as they are, whatever their
    source says: no routing, no filter before them."""

    def __init__(self, space, device, neighbour_mac):
        with space:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.device = device
        self.mac = bytes.fromhex(neighbour_mac.replace(":", ""))

    def send(self, packet):
        """Sends one packet."""
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        self.sock.sendto(packet, (self.device, kind, 0, 0, self.mac))


def mac_of(space, device):
    """The MAC address of a device."""
    return json.loads(space.call("ip", "-j", "link", "show", device))[0]["address"]


def outside_wire(parent, outside):
    """The wire from outside to the parent."""
    return Wire(outside, "out0", mac_of(parent, "up0"))


def echo_request(family, ident, seq, payload):
    """An ICMP echo request; the kernel fills in IPv6's checksum."""
    kind = 8 if family is V4 else 128
    packet = struct.pack("!BBHHH", kind, 0, 0, ident, seq) + payload
    if family is V4:
        packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
    return packet


def ping(space, family, dest, count=1, size=56, patience=None):
    """Sends echo requests one after the other; returns how many were answered."""
    proto = socket.IPPROTO_ICMP if family is V4 else socket.IPPROTO_ICMPV6
    sock = space.socket(family.af, socket.SOCK_RAW, proto)
    ident = os.getpid() & 0xFFFF
    answered = 0
    for seq in range(count):
        payload = os.urandom(size)
        sock.sendto(echo_request(family, ident, seq, payload), (dest, 0))
        end = time.monotonic() + (patience or PATIENCE)
        while time.monotonic() < end:
            sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                data, source = sock.recvfrom(65536)
            except TimeoutError:
                break
            data = data[(data[0] & 15) * 4 :] if family is V4 else data
            if data[0] == (0 if family is V4 else 129) and data[8:] == payload and source[0] == dest:
                answered += 1
                break
        if answered < seq - 1:
            break  # they are lost, and each would be waited for
    sock.close()
    return answered


def connected(client, server, family, dest, port=PORT, source=None):
    """A TCP connection between two namespaces: (client's socket, server's)."""
    listener = server.listener(family, port)
    sock = client.socket(family.af, socket.SOCK_STREAM)
    if source:
        sock.bind((source, 0))
    try:
        sock.connect((dest, port))
        return sock, listener.accept()[0]
    finally:
        listener.close()


def exchange(one, other, rounds=3, bulk=0):
    """Requests and answers over a connection, and then much in each direction;
    true when every byte arrived."""
    for _ in range(rounds):
        for left, right in ((one, other), (other, one)):
            token = os.urandom(40)
            left.sendall(token)
            if receive(right, len(token)) != token:
                return False
    if bulk:
        for left, right in ((one, other), (other, one)):
            if not pour(left, right, os.urandom(4096) * (bulk // 4096)):
                return False
    return True


def receive(sock, length):
    """Reads so many bytes, or fewer where the stream ends."""
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            break
        data += piece
    return data


def pour(left, right, data):
    """Sends much while it is received; true when it is the same."""
    left.setblocking(False)
    rest, got = memoryview(data), bytearray()
    end = time.monotonic() + 5 * PATIENCE
    while len(got) < len(data) and time.monotonic() < end:
        readable, writable, _ = select.select([right], [left] if rest else [], [], PATIENCE)
        if writable:
            rest = rest[left.send(rest[:65536]) :]
        if readable:
            got += right.recv(1 << 20)
        if not readable and not writable:
            break
    left.settimeout(PATIENCE)
    return bytes(got) == data
