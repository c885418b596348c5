#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends UDP datagrams from every CPU, and says how many, while the number of queues of a
device changes again and again.

usage: queues.py DEV NS PEER ADDR TURNS MOST

DEV here and PEER in NS get 1 to MOST queues by `ethtool -L`.
"""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys


def send(addr, cpu, result):
    """Sends until it is told to stop, then tells the count; what fails has been counted by the
    device as well."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    os.sched_setaffinity(0, {cpu})
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    count, payload = 0, bytes(200)
    while not stop:
        count += 1
        with contextlib.suppress(OSError):
            sock.sendto(payload, (addr, 9))
    os.write(result, struct.pack("=Q", count))
    os._exit(0)


def main(device, namespace, peer, addr, turns, most):
    """Changes, and prints what was sent."""
    reader, writer = os.pipe()
    senders = []
    for cpu in sorted(os.sched_getaffinity(0)) * 2:
        pid = os.fork()
        if pid == 0:
            send(addr, cpu, writer)
        senders.append(pid)
    chance = random.Random(1)
    try:
        for _ in range(turns):
            for where in (("ethtool", "-L", device), ("ip", "netns", "exec", namespace, "ethtool", "-L", peer)):
                rx, tx = (str(chance.randint(1, most)) for _ in range(2))
                # As many as there are is no change, which ethtool says by its status.
                done = subprocess.run((*where, "rx", rx, "tx", tx), capture_output=True, text=True, check=False)
                if done.returncode and "unmodified" not in done.stderr + done.stdout:
                    sys.exit(f"rx {rx} tx {tx}: {done.stderr}")
    finally:
        for pid in senders:
            os.kill(pid, signal.SIGTERM)
        for pid in senders:
            os.waitpid(pid, 0)
    print(sum(struct.unpack("=Q", os.read(reader, 8))[0] for _ in senders))


if __name__ == "__main__":
    main(*sys.argv[1:5], *(int(word) for word in sys.argv[5:]))
