#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Unpacks a bzImage: the ELF file inside, as it is in memory once it has unpacked itself.

usage: unpack_kernel.py BZIMAGE VMLINUX

An emulated processor takes a third of the whole boot for that. Nothing is written
where that file cannot be started by itself (PVH: Documentation/arch/x86/boot.rst,
include/xen/interface/elfnote.h).
"""

import pathlib
import struct
import subprocess
import sys

# How compressed data begins, and what unpacks it.
PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"\x1f\x8b": "gzip"}
# The ELF note with the address where to begin: length of the name, type, name.
ENTRY = (4, 18, b"Xen\0")


def payload(image):
    """The compressed kernel within an image; its length is written behind it."""
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (sectors + 1) * 512 + offset
    return image[begin : begin + length]


def unpack(packed):
    """The kernel, or nothing."""
    packer = next((name for magic, name in PACKERS.items() if packed.startswith(magic)), None)
    for data in (packed[:-4], packed) if packer else ():
        done = subprocess.run([packer, "-dc"], input=data, capture_output=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(b"\x7fELF"):
            return done.stdout
    return b""


def starts_by_itself(kernel):
    """Whether it says where it begins when nobody has unpacked it."""
    name_size, kind, name = ENTRY
    return any(struct.pack("<III", name_size, size, kind) + name in kernel for size in (4, 8))


def main():
    """Reads one, writes the other."""
    kernel = unpack(payload(pathlib.Path(sys.argv[1]).read_bytes()))
    if starts_by_itself(kernel):
        pathlib.Path(sys.argv[2]).write_bytes(kernel)


if __name__ == "__main__":
    sys.exit(main())
