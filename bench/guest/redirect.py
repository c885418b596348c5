# SPDX-License-Identifier: GPL-2.0
"""Attaches the BPF programs of the redirect_peer contestants."""
import ctypes
import ipaddress
import os
import socket
import struct
import tempfile

from netns import run

PINS = "/sys/fs/bpf"
LINK_CREATE, MAP_UPDATE, OBJ_GET = 28, 2, 7
NETKIT_PEER = 55
SYS_BPF = 321
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = _libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"bpf({command}): {os.strerror(error)}")
    return result


def _pinned(path):
    name = ctypes.create_string_buffer(path.encode())
    return _bpf(OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, 0))


def _update(map_fd, key, value):
    key, value = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    _bpf(MAP_UPDATE, struct.pack("IxxxxQQQ", map_fd, ctypes.addressof(key),
                                 ctypes.addressof(value), 0))


class Redirect:
    """The programs and maps of one parent."""

    def __init__(self, parent, uplink, kind):
        self._parent, self._kind = parent, kind
        self._mount()
        self._dir = tempfile.mkdtemp(dir=PINS)
        self._load()
        self._links, self._ports = [], set()
        self._owners = {4: self._map("owners4"), 6: self._map("owners6")}
        uplink_map = self._map("uplink")
        _update(uplink_map, struct.pack("I", 0), struct.pack("I", uplink))
        os.close(uplink_map)
        self._attach_tc("up0", "from_uplink")

    @staticmethod
    def _mount():
        if not os.path.ismount(PINS):
            run("mount", "-t", "bpf", "bpf", PINS)

    def _load(self):
        from path import guest_file
        run("bpftool", "prog", "loadall", guest_file("redirect.o"), self._dir,
            "pinmaps", self._dir)

    def _map(self, name):
        return _pinned(f"{self._dir}/{name}")

    def _attach_tc(self, device, program):
        self._parent.run("tc", "qdisc", "add", "dev", device, "clsact")
        self._parent.run("tc", "filter", "add", "dev", device, "ingress", "bpf", "da",
                         "pinned", f"{self._dir}/{program}")

    def _attach_all(self, ports):
        """One tc for all: there may be a thousand."""
        with self._parent:
            names = [socket.if_indextoname(port) for port in ports]
        self._parent.run("tc", "-batch", "-", text="".join(
            f"qdisc add dev {name} clsact\n"
            f"filter add dev {name} ingress bpf da pinned {self._dir}/from_veth\n"
            for name in names))

    def _attach_netkit(self, ifindex):
        program = _pinned(f"{self._dir}/from_netkit")
        with self._parent:
            self._links.append(_bpf(LINK_CREATE, struct.pack("IIII", program, ifindex,
                                                             NETKIT_PEER, 0)))
        os.close(program)

    def add(self, address, port):
        """An address whose packets go to the child behind a port."""
        packed = ipaddress.ip_address(address)
        _update(self._owners[packed.version], packed.packed, struct.pack("I", port))

    def attach(self, ports):
        """Ports whose children's packets go out by the programs."""
        new = [port for port in ports if port not in self._ports]
        self._ports.update(new)
        if self._kind == "netkit":
            for port in new:
                self._attach_netkit(port)
        elif new:
            self._attach_all(new)

    def close(self):
        """Detaches what holds references and removes the pins."""
        for fd in (*self._links, *self._owners.values()):
            os.close(fd)
        run("rm", "-r", self._dir)
