# SPDX-License-Identifier: GPL-2.0
"""A program that rules give packets to (nft's `queue num 0`, NFQUEUE). A library for the
other tools."""

import socket
import struct
import threading

NETLINK_NETFILTER = 12
PACKET, VERDICT, CONFIG = 0x300, 0x301, 0x302
BIND, COPY_META, ACCEPT = 1, 1, 1
SO_RCVBUFFORCE, SOL_NETLINK, NETLINK_NO_ENOBUFS = 33, 270, 5


class Queue(threading.Thread):
    """Lets every packet of a namespace's queue 0 go on; those that come while it
    `keeps` wait for `let_go()`."""

    def __init__(self, space, keeps=False):
        super().__init__(daemon=True)
        self.sock = space.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.sock.settimeout(0.1)
        # The kernel drops what it has no room for, and tells of it instead of what comes next.
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        self.seen, self.ends = 0, False
        self.keeps, self.kept, self.lock = keeps, [], threading.Lock()
        self.send(CONFIG, self.attribute(1, struct.pack("!BxH", BIND, 0)))
        self.send(CONFIG, self.attribute(2, struct.pack("!IB", 0, COPY_META)))
        self.start()

    @staticmethod
    def attribute(kind, value):
        """One netlink attribute."""
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    def send(self, kind, body):
        """One request for queue 0."""
        text = struct.pack("!BBH", 0, 0, 0) + body
        self.sock.send(struct.pack("=IHHII", 16 + len(text), kind, 1, 0, 0) + text)

    def run(self):
        while not self.ends:
            try:
                data = self.sock.recv(65536)
            except OSError:
                continue
            at = 0
            while at + 20 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == PACKET:
                    self.judge(data[at + 20 : at + length])
                at += (length + 3) & ~3

    def judge(self, attributes):
        """Lets a packet go on, whatever it is, or keeps it."""
        at = 0
        while at + 4 <= len(attributes):
            length, kind = struct.unpack_from("=HH", attributes, at)
            if kind & 0x3FFF == 1:  # NFQA_PACKET_HDR
                with self.lock:
                    self.kept.append(attributes[at + 4 : at + 8])
                    self.seen += 1
                    if not self.keeps:
                        self.accept()
            at += (length + 3) & ~3

    def accept(self):
        """Says yes to all that is kept, in its order."""
        for number in self.kept:
            self.send(VERDICT, self.attribute(2, struct.pack("!I", ACCEPT) + number))
        self.kept.clear()

    def let_go(self):
        """Lets go on what was kept, and what comes from now on."""
        with self.lock:
            self.keeps = False
            self.accept()

    def close(self):
        """Ends it."""
        self.ends = True
        self.join()
        self.sock.close()
