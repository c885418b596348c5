#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Loads an XDP program and pins it: one that has the same verdict for all packets, or one
that drops what comes in by the second queue.

usage: xdp.py drop|pass|tx|second PATH
"""

import struct
import sys

from bpf import EXIT, MOV_IMM, instruction, load, pin

BPF_PROG_TYPE_XDP = 6
VERDICTS = {"drop": 1, "pass": 2, "tx": 3}
LOAD_32, JUMP_NOT_IMM = 0x61, 0x55
RX_QUEUE = 16  # where struct xdp_md has it


def by_queue():
    """Drops what comes in by the second queue, and lets all else pass."""
    code = instruction(MOV_IMM, 0, VERDICTS["pass"])
    code += struct.pack("=BBhi", LOAD_32, 2 | 1 << 4, RX_QUEUE, 0)
    code += struct.pack("=BBhi", JUMP_NOT_IMM, 2, 1, 1)
    return code + instruction(MOV_IMM, 0, VERDICTS["drop"]) + instruction(EXIT)


if __name__ == "__main__":
    verdict, path = sys.argv[1:]
    code = by_queue() if verdict == "second" else instruction(MOV_IMM, 0, VERDICTS[verdict]) + instruction(EXIT)
    pin(load(BPF_PROG_TYPE_XDP, code), path)
