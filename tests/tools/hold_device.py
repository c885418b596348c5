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
    waiting.join(0.5)
    print("held" if waiting.is_alive() else "sent", flush=True)
    waiting.join()


if __name__ == "__main__":
    main()
