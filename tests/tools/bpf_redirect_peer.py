#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Loads a traffic control program that calls bpf_redirect_peer() and pins it.

usage: bpf_redirect_peer.py IFINDEX PATH

The program is four instructions, so no compiler is needed.
"""

import ctypes
import os
import struct
import sys

SYS_BPF = 321  # x86-64
BPF_PROG_LOAD, BPF_OBJ_PIN = 5, 6
BPF_PROG_TYPE_SCHED_CLS = 3
BPF_FUNC_REDIRECT_PEER = 155
MOV_IMM, CALL, EXIT = 0xB7, 0x85, 0x95


def instruction(opcode, register=0, immediate=0):
    """One instruction."""
    return struct.pack("=BBhi", opcode, register, 0, immediate)


def bpf(command, attributes):
    """The system call; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def load(ifindex):
    """return bpf_redirect_peer(ifindex, 0);"""
    code = instruction(MOV_IMM, 1, ifindex) + instruction(MOV_IMM, 2, 0) + instruction(CALL, 0, BPF_FUNC_REDIRECT_PEER) + instruction(EXIT)
    text = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(65536)
    attributes = struct.pack("=IIQQIIQ", BPF_PROG_TYPE_SCHED_CLS, len(code) // 8, ctypes.addressof(text), ctypes.addressof(licence), 1, len(log), ctypes.addressof(log))
    try:
        return bpf(BPF_PROG_LOAD, attributes)
    except OSError:
        print(log.value.decode(), file=sys.stderr)
        raise


def pin(program, path):
    """Makes the program known by a path in bpffs."""
    name = ctypes.create_string_buffer(path.encode())
    bpf(BPF_OBJ_PIN, struct.pack("=QI", ctypes.addressof(name), program))


if __name__ == "__main__":
    pin(load(int(sys.argv[1])), sys.argv[2])
