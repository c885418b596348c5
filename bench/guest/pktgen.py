# SPDX-License-Identifier: GPL-2.0
"""The kernel's packet generator, in receive mode on a parent's uplink."""
import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path

from addresses import OUTSIDE_MAC, PORT, UPLINK_MAC, child_mac
from netns import CommandFailed, write

PROC = "/proc/net/pktgen"
FLOW_PORTS = 1024       # the first source port of many flows
_RESULT = re.compile(r"(\d+)\(c\d+\+d\d+\) (?:usec|nsec), (\d+) \(")


def frame_of(ip, size):
    """The bytes of a frame: it never leaves out a header of its own of 16 bytes."""
    return max(size, 14 + (20 if ip == 4 else 40) + 8 + 16)


def newest_threads():
    """The generator threads of the namespace made last: a process id per CPU."""
    found = {}
    for pid in sorted((int(n) for n in os.listdir("/proc") if n.isdecimal()), reverse=True):
        try:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if name.startswith("kpktgend_"):
            if name in found:
                break       # those of the namespace before
            found[name] = pid
    return list(found.values())


def take_the_cpu(network):
    """Lets nothing but softirqs interrupt a parent's generator threads.

    Every namespace has a generator thread that wakes ten times a second; with
    a thousand of them that would be a part of each figure.
    """
    for pid in network.generators:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(10))


def _spin():
    """A process that takes the CPU whenever nothing more important does; its id."""
    pid = os.fork()
    if pid == 0:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        while True:
            pass
    return pid


@contextmanager
def alone():
    """Lets all that is not real-time wait, until the end.

    Every namespace has a generator thread of its own, which a timer wakes ten
    times a second: with thousands of them that was a quarter of a short path's
    figure. One that was woken and does not get to run is not woken again, so
    after a tenth of a second in here there are no more of them.
    """
    for server in Path("/sys/kernel/debug/sched/fair_server").glob("cpu*/runtime"):
        server.write_text("0", encoding="ascii")    # it would let them run now and then
    Path("/proc/sys/kernel/sched_rt_runtime_us").write_text("-1", encoding="ascii")
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    spinning = _spin()
    try:
        yield
    finally:
        os.kill(spinning, signal.SIGKILL)
        os.waitpid(spinning, 0)
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def _above_generators():
    """Lets us look on while generators hold all CPUs."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Pktgen:
    """Feeds packets to a parent's uplink."""

    def __init__(self, network, cpus=1):
        self.network = network
        self.cpus = cpus
        with network.parent:
            for cpu in range(cpus):
                write(f"{PROC}/kpktgend_{cpu}", f"add_device {self._device(cpu)}")

    def _device(self, cpu):
        return f"up0@{cpu}" if self.cpus > 1 else "up0"

    def _destinations(self, spread, target, cpu):
        """Options that spread packets over all children's addresses; else one for each CPU."""
        plan, v6 = self.network.plan, "6" if self.network.plan.ip == 6 else ""
        if not spread:
            return [f"dst{v6} {target or plan.child(cpu)}"]
        last = plan.child(len(self.network.addresses) - 1)
        if v6:
            return [f"dst6_min {plan.child(0)}", f"dst6_max {last}", "flag IPDST_RND"]
        return [f"dst_min {plan.child(0)}", f"dst_max {last}"]

    def _link_layer(self, spread, cpu):
        if not self.network.path.get("own_mac"):
            return [f"dst_mac {UPLINK_MAC}"]
        if not spread:
            return [f"dst_mac {self.network.addresses[cpu].mac}"]
        return [f"dst_mac {child_mac(0)}", f"dst_mac_count {len(self.network.addresses)}"]

    def _sources(self, cell):
        """Options that say where packets come from."""
        plan = self.network.plan
        if plan.ip == 6:
            return [f"src6 {plan.outside}"]
        if cell.get("sources") == "random":
            return [f"src_min {plan.far}", f"src_max {plan.far_last}", "flag IPSRC_RND"]
        return [f"src_min {plan.outside}", f"src_max {plan.outside}", "flag !IPSRC_RND"]

    def configure(self, cell, target=None):
        """Sets what a cell's packets look like; its `size` is the whole frame."""
        spread = cell["children"] > 1 and "cpus" not in cell
        many = cell["flows"] > 1 and not spread
        last_port = FLOW_PORTS + (cell["flows"] if many else 0)     # the first beyond, if many
        options = ["xmit_mode netif_receive", "clone_skb 0", "delay 0", "burst 1",
                   # As a driver's, each packet is the stack's own. One that pktgen holds as well
                   # the stack has to copy first, which no packet from a link costs.
                   "flag !SHARED",
                   # Less than that it makes up for, and asks for each packet whether to say so.
                   f"pkt_size {frame_of(cell['ip'], cell['size'])}", f"src_mac {OUTSIDE_MAC}",
                   f"udp_src_min {FLOW_PORTS}", f"udp_src_max {last_port}",
                   f"udp_dst_min {PORT}", f"udp_dst_max {PORT}",
                   *self._sources(cell)]
        with self.network.parent:
            for cpu in range(self.cpus):
                for option in (*options, *self._link_layer(spread, cpu),
                               *self._destinations(spread, target, cpu)):
                    write(f"{PROC}/{self._device(cpu)}", option)

    def send(self, count):
        """Sends so many packets (on each CPU); returns nanoseconds per packet."""
        with self.network.parent:
            for cpu in range(self.cpus):
                write(f"{PROC}/{self._device(cpu)}", f"count {count}")
            write(f"{PROC}/pgctrl", "start")
        results = self._results()
        if any(sent != count for _, sent in results):
            raise CommandFailed(f"pktgen: sent {[sent for _, sent in results]} of {count}")
        return sum(took / count for took, _ in results) / self.cpus

    def send_during(self, work):
        """Sends on all CPUs until work() returns; returns what it found, and how many were sent.

        The threads begin up to a tenth of a second apart, so a number of packets for each says
        little of what they do at once: it may be over before another begins.
        """
        with self.network.parent:
            for cpu in range(self.cpus):
                write(f"{PROC}/{self._device(cpu)}", "count 0")
        with _above_generators():
            starter = self._start()
            try:
                found = work()
            finally:
                with self.network.parent:
                    write(f"{PROC}/pgctrl", "stop")
                os.waitpid(starter, 0)
        return found, sum(sent for _, sent in self._results())

    def _start(self):
        """A process that starts the generators, and ends when they do."""
        pid = os.fork()
        if pid == 0:
            try:
                with self.network.parent:
                    write(f"{PROC}/pgctrl", "start")
            finally:
                os._exit(0)
        return pid

    def _results(self):
        """Nanoseconds and packets of each CPU's last run."""
        with self.network.parent:
            return [_result(Path(f"{PROC}/{self._device(cpu)}").read_text(encoding="ascii"))
                    for cpu in range(self.cpus)]

    def close(self):
        """Takes the uplink away from the generator."""
        with self.network.parent:
            for cpu in range(self.cpus):
                write(f"{PROC}/kpktgend_{cpu}", "rem_device_all")


def _result(text):
    """Nanoseconds and packets, from what a device's file says."""
    found = _RESULT.search(text.partition("Result: OK:")[2])
    if not found:
        raise CommandFailed(f"pktgen: {text.partition('Result:')[2].strip() or 'no result'}")
    return int(found[1]) * 1000, int(found[2])
