# SPDX-License-Identifier: GPL-2.0
"""Network namespaces without names: a descriptor keeps each one alive."""
import errno
import itertools
import os
import subprocess
import time


def set_all(sysctls):
    """Sets switches of the namespace that we are in."""
    for name, value in sysctls:
        write(f"/proc/sys/net/{name}", value)


class Namespace:
    """A network namespace; use it with `with` to be in it."""

    def __init__(self, sysctls=()):
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            os.unshare(os.CLONE_NEWNET)
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            set_all(sysctls)
        finally:
            os.setns(back, os.CLONE_NEWNET)
            os.close(back)
        self._back = []

    @property
    def path(self):
        """A file that other programs can open."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def __enter__(self):
        self._back.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        os.setns(self.fd, os.CLONE_NEWNET)
        return self

    def __exit__(self, *_):
        back = self._back.pop()
        os.setns(back, os.CLONE_NEWNET)
        os.close(back)

    def run(self, *words, text=None):
        """Runs a program in the namespace; returns its standard output."""
        with self:
            return run(*words, text=text)

    def batch(self, lines):
        """Runs `ip` once over many command lines (without the word ip)."""
        self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def close(self):
        """Lets the namespace go."""
        os.close(self.fd)


def wait_until_removed():
    """Waits until the kernel has removed every namespace let go so far.

    It removes them in batches, one batch after the other, and devices before
    the rest. When a device of the last namespace is gone, its batch is under
    way; when one of a namespace let go after that is gone, it is done.
    """
    for _ in range(2):
        last = Namespace()
        run("ip", "link", "add", "last", "type", "veth", "peer", "name", "peer",
            "netns", last.path)
        last.close()
        while os.path.exists("/sys/class/net/last"):
            time.sleep(0.05)


def existing():
    """How many network namespaces there are, besides the first one.

    One that was let go counts until the kernel is done with all that was in it. It is asked for
    by the limit that has to be there for one more.
    """
    limit = "/proc/sys/user/max_net_namespaces"
    time.sleep(0.3)     # the end of the last one that was waited for
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with open(limit, encoding="ascii") as file:
        before = file.read()
    try:
        return next(number for number in itertools.count() if _is_room(limit, number + 1))
    finally:
        write(limit, before)
        os.setns(back, os.CLONE_NEWNET)
        os.close(back)
        wait_until_removed()    # the one that there was room for


def _is_room(limit, number):
    """Whether a namespace can be made, and is, when there may be so many."""
    write(limit, str(number))
    try:
        os.unshare(os.CLONE_NEWNET)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


class CommandFailed(Exception):
    """A program ended with a status other than 0."""


class Lost(Exception):
    """Packets went missing, or what they cost is not known: the path has no figure."""


def run(*words, text=None):
    """Runs a program; returns its standard output, or raises its complaint."""
    done = subprocess.run(words, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CommandFailed(f"{' '.join(words)}: {said[0] if said else done.returncode}")
    return done.stdout


def write(path, value):
    """Writes a kernel file in one write()."""
    with open(path, "w", encoding="ascii") as file:
        file.write(value)
