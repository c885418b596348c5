#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the length of the longest packet in a pcap file on standard input.

The length on the wire counts, not what was captured of it. Prints 0 for none.
"""

import struct
import sys


def longest(data):
    """Walks the records; little-endian files only, as tcpdump writes them here."""
    offset, found = 24, 0
    while offset + 16 <= len(data):
        captured, length = struct.unpack_from("<II", data, offset + 8)
        found = max(found, length)
        offset += 16 + captured
    return found


if __name__ == "__main__":
    print(longest(sys.stdin.buffer.read()))
