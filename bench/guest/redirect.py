# SPDX-License-Identifier: GPL-2.0
"""Attaches the BPF programs of the redirect_peer contestants."""
import ctypes
import errno
import ipaddress
import os
import socket
import struct
import tempfile

from netns import run

PINS = "/sys/fs/bpf"
LINK_CREATE, MAP_UPDATE, OBJ_GET = 28, 2, 7
TCX_INGRESS, NETKIT_PEER = 46, 55
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
        self._attach("from_uplink", [uplink], TCX_INGRESS)

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

    def _attach(self, program, devices, where):
        """Attaches a program to devices: by links, which is the shortest way to be called."""
        handle = _pinned(f"{self._dir}/{program}")
        try:
            with self._parent:
                self._links += [_bpf(LINK_CREATE, struct.pack("IIII", handle, device, where, 0))
                                for device in devices]
        except OSError as error:
            if where != TCX_INGRESS or error.errno != errno.EINVAL:
                raise
            self._attach_by_qdisc(program, devices)
        finally:
            os.close(handle)

    def _attach_by_qdisc(self, program, devices):
        """For kernels without tcx (before 6.6). One tc for all: there may be a thousand."""
        with self._parent:
            names = [socket.if_indextoname(device) for device in devices]
        self._parent.run("tc", "-batch", "-", text="".join(
            f"qdisc add dev {name} clsact\n"
            f"filter add dev {name} ingress bpf da pinned {self._dir}/{program}\n"
            for name in names))

    def add(self, address, port):
        """An address whose packets go to the child behind a port."""
        packed = ipaddress.ip_address(address)
        _update(self._owners[packed.version], packed.packed, struct.pack("I", port))

    def attach(self, ports):
        """Ports whose children's packets go out by the programs."""
        new = [port for port in ports if port not in self._ports]
        self._ports.update(new)
        if self._kind == "netkit":
            self._attach("from_netkit", new, NETKIT_PEER)
        else:
            self._attach("from_veth", new, TCX_INGRESS)

    def close(self):
        """Detaches what holds references and removes the pins."""
        for fd in (*self._links, *self._owners.values()):
            os.close(fd)
        run("rm", "-r", self._dir)
