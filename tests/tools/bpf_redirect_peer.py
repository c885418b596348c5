#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Loads a traffic control program that calls bpf_redirect_peer() and pins it.

usage: bpf_redirect_peer.py IFINDEX PATH
"""

import sys

from bpf import CALL, EXIT, MOV_IMM, instruction, load, pin

BPF_PROG_TYPE_SCHED_CLS = 3
BPF_FUNC_REDIRECT_PEER = 155


def redirect(ifindex):
    """return bpf_redirect_peer(ifindex, 0);"""
    return instruction(MOV_IMM, 1, ifindex) + instruction(MOV_IMM, 2, 0) + instruction(CALL, 0, BPF_FUNC_REDIRECT_PEER) + instruction(EXIT)


if __name__ == "__main__":
    pin(load(BPF_PROG_TYPE_SCHED_CLS, redirect(int(sys.argv[1]))), sys.argv[2])
