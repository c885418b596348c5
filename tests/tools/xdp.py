#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Loads an XDP program that has one verdict for all packets, and pins it.

usage: xdp.py drop|pass|tx PATH
"""

import sys

from bpf import EXIT, MOV_IMM, instruction, load, pin

BPF_PROG_TYPE_XDP = 6
VERDICTS = {"drop": 1, "pass": 2, "tx": 3}

if __name__ == "__main__":
    pin(load(BPF_PROG_TYPE_XDP, instruction(MOV_IMM, 0, VERDICTS[sys.argv[1]]) + instruction(EXIT)), sys.argv[2])
