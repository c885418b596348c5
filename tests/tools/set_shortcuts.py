#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Asks for a set of shortcuts by its number, on an existing device.

usage: set_shortcuts.py DEVICE NUMBER

Prints the errno's name, or "success", and what the kernel said.
"""

import errno
import sys

from rtnl import CHANGE, IFLA_IFNAME, IFLA_PASSTHRU_SHORTCUTS, Rtnl, linkinfo, text, u32


def main():
    """Sends the one request."""
    device, number = sys.argv[1], int(sys.argv[2], 0)
    wanted = linkinfo("passthru", u32(IFLA_PASSTHRU_SHORTCUTS, number))
    error, message = Rtnl().newlink(text(IFLA_IFNAME, device), wanted, flags=CHANGE)
    print(errno.errorcode.get(error, "success"), message)


if __name__ == "__main__":
    main()
