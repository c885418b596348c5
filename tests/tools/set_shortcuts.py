#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Asks for a set of shortcuts by its number, or for the check of sources, on an
existing device.

usage: set_shortcuts.py DEVICE [--spoofchk] NUMBER

Prints the errno's name, or "success", and what the kernel said.
"""

import errno
import sys

from rtnl import CHANGE, IFLA_IFNAME, IFLA_PASSTHRU_SHORTCUTS, IFLA_PASSTHRU_SPOOFCHK, Rtnl, linkinfo, text, u32


def main():
    """Sends the one request."""
    device, number = sys.argv[1], int(sys.argv[-1], 0)
    which = IFLA_PASSTHRU_SPOOFCHK if "--spoofchk" in sys.argv else IFLA_PASSTHRU_SHORTCUTS
    wanted = linkinfo("passthru", u32(which, number))
    error, message = Rtnl().newlink(text(IFLA_IFNAME, device), wanted, flags=CHANGE)
    print(errno.errorcode.get(error, "success"), message)


if __name__ == "__main__":
    main()
