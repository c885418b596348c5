#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends an exact number of UDP datagrams, or holds a port that takes them.

usage: udp.py send ADDR PORT COUNT SIZE [CPUS]
       udp.py hold PORT
       udp.py flood ADDR PORT

flood sends until it is killed, whatever becomes of the way. With CPUS, as many processes send COUNT / CPUS each, every one bound to a CPU of
its own (in a ring when there are fewer).
"""

import os
import socket
import sys
import time


def send(addr, port, count, size):
    """Sends the datagrams; a full queue is waited for, so that none is lost here."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((addr, port))
        payload = bytes(size)
        for _ in range(count):
            sock.send(payload)


def send_from(cpus, addr, port, count, size):
    """Sends from several CPUs at once and waits for all; returns the worst status."""
    allowed = sorted(os.sched_getaffinity(0))
    pids = []
    for number in range(cpus):
        pid = os.fork()
        if pid == 0:
            os.sched_setaffinity(0, {allowed[number % len(allowed)]})
            send(addr, port, count // cpus, size)
            os._exit(0)
        pids.append(pid)
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)


def flood(addr, port):
    """Sends for ever; errors are what a device leaves behind that went away."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    payload = bytes(600)
    while True:
        try:
            for _ in range(20):
                sock.sendto(payload, (addr, port))
        except OSError:
            pass
        time.sleep(0.001)


def hold(port):
    """Binds the port and reads nothing: no ICMP error, no answer."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        numbers = [int(word) for word in sys.argv[3:]]
        cpus = numbers[3] if len(numbers) > 3 else 1
        sys.exit(send_from(cpus, sys.argv[2], *numbers[:3]))
    if sys.argv[1] == "flood":
        flood(sys.argv[2], int(sys.argv[3]))
    hold(int(sys.argv[2]))
