#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Answers TCP and UDP on one port, IPv4 and IPv6, with what it was sent.

usage: echo.py PORT [WORD]
       echo.py sctp:PORT

With sctp: it answers SCTP instead, message by message. With WORD, each answer is WORD instead: that tells two servers on the same
port in different namespaces apart.
"""

import select
import socket
import sys


def listen(kind, port, protocol=0):
    """Returns a dual-stack socket bound to the port."""
    sock = socket.socket(socket.AF_INET6, kind, protocol)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.bind(("::", port))
    return sock


def answer(sock, word):
    """Answers one datagram or one piece of a stream; False at a stream's end."""
    if sock.type == socket.SOCK_DGRAM:
        # The answer comes from the address that was asked, not from the nearest.
        data, info, _, source = sock.recvmsg(65535, socket.CMSG_SPACE(20))
        sock.sendmsg([word or data], info, 0, source)
        return True
    data = sock.recv(65536)
    if data:
        sock.sendall(word or data)
    return bool(data)


def serve(port, word, sctp=False):
    """Serves until killed."""
    udp = None if sctp else listen(socket.SOCK_DGRAM, port)
    stream = listen(socket.SOCK_STREAM, port, socket.IPPROTO_SCTP if sctp else 0)
    stream.listen(16)
    ready = [sock for sock in (udp, stream) if sock]
    while True:
        for sock in select.select(ready, [], [])[0]:
            if sock is stream:
                ready.append(stream.accept()[0])
                continue
            try:
                more = answer(sock, word)
            except OSError:
                more = sock is udp
            if not more:
                ready.remove(sock)
                sock.close()


if __name__ == "__main__":
    PROTOCOL, _, NUMBER = sys.argv[1].rpartition(":")
    serve(int(NUMBER), sys.argv[2].encode() if len(sys.argv) > 2 else b"", PROTOCOL == "sctp")
