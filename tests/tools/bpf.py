#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""BPF programs of a few instructions, so that no compiler is needed.

A library for the other tools.
"""

import ctypes
import os
import struct
import sys

SYS_BPF = 321  # x86-64
BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM = 0, 1
BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_PROG_ATTACH, BPF_PROG_DETACH = 5, 6, 8, 9
BPF_MAP_TYPE_ARRAY = 2
MOV_IMM, CALL, EXIT = 0xB7, 0x85, 0x95
LOAD_64, ATOMIC_ADD_64 = 0x18, 0xDB


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


def load(kind, code, attach_type=0):
    """Loads a program; returns its file descriptor."""
    text = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(65536)
    attributes = struct.pack("=IIQQIIQ", kind, len(code) // 8, ctypes.addressof(text), ctypes.addressof(licence), 1, len(log), ctypes.addressof(log))
    # kern_version, prog_flags, prog_name, prog_ifindex, expected_attach_type
    attributes += struct.pack("=II16sII", 0, 0, b"", 0, attach_type)
    try:
        return bpf(BPF_PROG_LOAD, attributes)
    except OSError:
        print(log.value.decode(), file=sys.stderr)
        raise


def pin(program, path):
    """Makes the program known by a path in bpffs."""
    name = ctypes.create_string_buffer(path.encode())
    bpf(BPF_OBJ_PIN, struct.pack("=QI", ctypes.addressof(name), program))


class Counter:
    """A number that programs add to: the only value of a map."""

    def __init__(self):
        self.map = bpf(BPF_MAP_CREATE, struct.pack("=IIII", BPF_MAP_TYPE_ARRAY, 4, 8, 1))

    def increment(self):
        """The instructions: *value += 1, by the registers 1 and 2."""
        value = instruction(LOAD_64, 1 | 2 << 4, self.map) + instruction(0)
        return value + instruction(MOV_IMM, 2, 1) + instruction(ATOMIC_ADD_64, 1 | 2 << 4)

    def read(self):
        """What it is now."""
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(8)
        bpf(BPF_MAP_LOOKUP_ELEM, struct.pack("=I4xQQ", self.map, ctypes.addressof(key), ctypes.addressof(value)))
        return struct.unpack("=Q", value.raw)[0]


def attach(group, program, attach_type):
    """Attaches a program to a cgroup; returns what detaches it again."""
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    detach_program = attach_to(directory, program, attach_type)

    def detach():
        detach_program()
        os.close(directory)

    return detach


def attach_to(target, program, attach_type):
    """Attaches a program to a cgroup that is open, or to a device by its index; returns what
    detaches it again."""
    attributes = struct.pack("=IIII", target, program, attach_type, 0)
    bpf(BPF_PROG_ATTACH, attributes)

    def detach():
        bpf(BPF_PROG_DETACH, attributes)
        os.close(program)

    return detach
