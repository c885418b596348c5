#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Keeps a reference to a device until this is ended, as a packet socket does that
waits for room to send by it.

usage: hold_device.py SLOW DEV

SLOW is a device where packets wait: what the socket may have on its way is there.
"""

import socket
import sys
import threading
import time

# The number of the system call, on x86-64.
SENDTO = "44"


def waits_in(thread, call):
    """Whether a thread sleeps in that system call."""
    try:
        with open(f"/proc/self/task/{thread.native_id}/syscall", encoding="ascii") as file:
            return file.read().split()[0] == call
    except OSError:
        return False  # it has ended


def main():
    """Says so when the reference is held."""
    slow, dev = sys.argv[1:]
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        while True:
            sock.sendto(bytes(1000), socket.MSG_DONTWAIT, (slow, 0x88B5))
    except BlockingIOError:
        pass
    waiting = threading.Thread(target=sock.sendto, args=(bytes(1000), (dev, 0x88B5)))
    waiting.start()
    while waiting.is_alive() and not waits_in(waiting, SENDTO):
        time.sleep(0.02)
    print("held" if waiting.is_alive() else "sent", flush=True)
    waiting.join()


if __name__ == "__main__":
    main()
