#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Senders that do not copy what they send, or want to know when it was sent, between
the namespace of the tool and its children blue and red.

usage: senders.py [NAME]

NAME is put before those of the results.
"""

import mmap
import os
import select
import socket
import struct
import sys
import tempfile
import threading

from world import FAMILIES, PATIENCE, PORT, V4, Space, same

PARENT, BLUE, RED = (Space(name) for name in ("-", "blue", "red"))
PREFIX = "".join(f"{word}: " for word in sys.argv[1:])
COUNT, SIZE, BULK = 20, 1200, 1 << 20
SO_ZEROCOPY, MSG_ZEROCOPY, MSG_ERRQUEUE = 60, 0x4000000, 0x2000
SO_EE_ORIGIN_ZEROCOPY, SO_EE_ORIGIN_TIMESTAMPING = 5, 4
SO_TIMESTAMPING = 37
TX_SOFTWARE, SOFTWARE, OPT_ID, TX_SCHED, OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 8, 1 << 11


def ways(family):
    """Who sends to whom, and the address of that."""
    yield PARENT, BLUE, family.child(1), "to a child"
    yield BLUE, PARENT, family.port(1), "from a child"
    yield BLUE, RED, family.child(2), "child to child"


def waits(sock, seconds):
    """Whether the error queue has something, or gets it in so many seconds."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(seconds * 1000))


def errors(sock, origin):
    """What the error queue has from an origin, one after the other, as the numbers of
    sock_extended_err and the other control messages."""
    while waits(sock, PATIENCE):
        _, control, _, _ = sock.recvmsg(0, 1024, MSG_ERRQUEUE)
        others = []
        for level, kind, data in control:
            if (level, kind) in ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)):  # IP_RECVERR, IPV6_RECVERR
                numbers = struct.unpack_from("=IBBBxII", data)
            else:
                others.append((kind, data))
        if numbers[1] == origin:
            yield numbers, others


def completed(sock, count):
    """Waits until so many sends without a copy are done with their memory."""
    done = 0
    for numbers, _ in errors(sock, SO_EE_ORIGIN_ZEROCOPY):
        done += numbers[5] - numbers[4] + 1
        if done >= count:
            break
    return done


def datagrams(family, sender, receiver, address, name):
    """Datagrams whose memory is written anew as soon as the kernel gives it back."""
    with receiver.udp(family, PORT) as there, sender.udp(family) as here:
        here.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        here.connect((address, PORT))
        memory = mmap.mmap(-1, COUNT * SIZE)
        said = [bytes([65 + number]) * SIZE for number in range(COUNT)]
        memory[:] = b"".join(said)
        with memoryview(memory) as view:
            for number in range(COUNT):
                here.send(view[number * SIZE : (number + 1) * SIZE], MSG_ZEROCOPY)
            same(completed(here, COUNT), COUNT, f"{name}: memory of each datagram is given back, before anybody reads it")
        memory[:] = bytes(len(memory))
        same([there.recv(2 * SIZE) for _ in range(COUNT)] == said, True, f"{name}: they arrive as they were when they were sent")


def stream(family, sender, receiver, address, name, send):
    """A stream that `send` writes arrives as it was."""
    said = os.urandom(BULK)
    got = bytearray()
    with receiver.listener(family, PORT) as listener, sender.socket(family.af, socket.SOCK_STREAM) as here:
        here.connect((address, PORT))
        there, _ = listener.accept()
        there.settimeout(PATIENCE)

        def read():
            while piece := there.recv(65536):
                got.extend(piece)

        reader = threading.Thread(target=read)
        reader.start()
        send(here, said, name)
        here.shutdown(socket.SHUT_WR)
        reader.join()
        there.close()
    same(bytes(got) == said, True, f"{name}: the stream arrives as it was sent")


def without_copy(sock, said, name):
    """MSG_ZEROCOPY: the memory is written anew once it is given back."""
    sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    memory = mmap.mmap(-1, len(said))
    memory[:] = said
    sent, calls = 0, 0
    with memoryview(memory) as view:
        while sent < len(said):
            sent += sock.send(view[sent : sent + 65536], MSG_ZEROCOPY)
            calls += 1
        same(completed(sock, calls), calls, f"{name}: all memory is given back")
    memory[:] = bytes(len(said))


def from_file(sock, said, _):
    """sendfile()."""
    with tempfile.TemporaryFile() as file:
        file.write(said)
        file.flush()
        sock.sendfile(file, 0)


def stamps(family, sender, receiver, address, name, when):
    """Each datagram is stamped once, when the device takes it, or when it is given to that."""
    with receiver.udp(family, PORT), sender.udp(family) as here:
        here.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, when | SOFTWARE | OPT_ID | OPT_TSONLY)
        here.connect((address, PORT))
        got = []
        for _ in range(COUNT):
            here.send(b"when")
            for numbers, others in errors(here, SO_EE_ORIGIN_TIMESTAMPING):
                times = [struct.unpack_from("=qq", data) for kind, data in others if kind == SO_TIMESTAMPING]
                got.append(numbers[5] if any(time > (0, 0) for time in times) else "no time")
                break
            else:
                break
        same(got, list(range(COUNT)), f"{name}: each datagram has its time")
        same(waits(here, 0), False, f"{name}: and only one")


def main():
    """All of them, in every direction."""
    for family in FAMILIES:
        for sender, receiver, address, way in ways(family):
            ends = family, sender, receiver, address
            name = f"{PREFIX}{family.name}, {way}"
            datagrams(*ends, f"{name}, UDP with MSG_ZEROCOPY")
            stream(*ends, f"{name}, TCP with MSG_ZEROCOPY", without_copy)
            if family is V4:
                stream(*ends, f"{name}, sendfile()", from_file)
            stamps(*ends, f"{name}, SO_TIMESTAMPING", TX_SOFTWARE)
            stamps(*ends, f"{name}, SO_TIMESTAMPING before a queue", TX_SCHED)


if __name__ == "__main__":
    main()
