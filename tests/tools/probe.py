#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Asks an echo server (echo.py) and prints one result for each question.

usage: probe.py [--port N] [--wait SECONDS] [--expect WORD] [--size N]
                [--source ADDR] PROTO:ADDR...

PROTO is tcp, udp or sctp. A leading "!" turns the question round: it is right when
no answer comes, as in !tcp:10.0.0.1.
"""

import argparse
import os
import select
import socket
import sys


def connect(proto, addr, args):
    """Returns a connected socket of the right family."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind, socket.IPPROTO_SCTP if proto == "sctp" else 0)
    sock.settimeout(args.wait)
    if args.source:
        sock.bind((args.source, 0))
    sock.connect((addr, args.port))
    return sock


def exchange(sock, token, length):
    """Returns what comes back, up to that many bytes.

    It reads as it sends: an echo server that cannot send does not read either, and
    with the windows of both sides full neither would ever go on.
    """
    unsent, got = memoryview(token), b""
    while len(got) < length:
        readable, writable, _ = select.select([sock], [sock] if unsent else [], [], sock.gettimeout())
        if not readable and not writable:
            raise TimeoutError("timed out")
        if writable:
            unsent = unsent[sock.send(unsent) :]
        if readable:
            piece = sock.recv(65536)
            if not piece:
                break
            got += piece
    return got


def ask(proto, addr, args):
    """Sends a token that nobody can guess and returns (answer, token)."""
    token = os.urandom(args.size // 2).hex().encode()
    want = args.expect.encode() if args.expect else token
    with connect(proto, addr, args) as sock:
        return exchange(sock, token, len(want)), want


def check(question, args):
    """Asks one question and says whether the answer is the right one."""
    silent = question.startswith("!")
    proto, addr = question.lstrip("!").split(":", 1)
    try:
        got, want = ask(proto, addr, args)
    except OSError as error:
        print(f"{'ok' if silent else 'not ok'} {question}" + ("" if silent else f" ({error})"))
        return
    if silent or got != want:
        print(f"not ok {question}\n# got {got[:60]!r}\n# want {want[:60]!r}")
    else:
        print(f"ok {question}")


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=7777)
    parser.add_argument("--wait", type=float, default=3)
    parser.add_argument("--expect")
    parser.add_argument("--source")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("questions", nargs="+")
    args = parser.parse_args()
    for question in args.questions:
        check(question, args)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
