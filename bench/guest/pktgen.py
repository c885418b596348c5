# SPDX-License-Identifier: GPL-2.0
"""The kernel's packet generator, in receive mode on a parent's uplink."""
import os
import re
from pathlib import Path

from addresses import OUTSIDE_MAC, PORT, UPLINK_MAC, child_mac
from netns import CommandFailed, write

PROC = "/proc/net/pktgen"
FLOW_PORTS = 1024       # the first source port of many flows
_RESULT = re.compile(r"(\d+)\(c\d+\+d\d+\) (?:usec|nsec), (\d+) \(")


def newest_threads():
    """The generator threads of the namespace made last: a process id per CPU."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = entry.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if name.startswith("kpktgend_"):
            found.setdefault(name, []).append(int(entry.parent.name))
    return [max(pids) for pids in found.values()]


def take_the_cpu(network):
    """Lets nothing but softirqs interrupt a parent's generator threads.

    Every namespace has a generator thread that wakes ten times a second; with
    a thousand of them that would be a part of each figure.
    """
    for pid in network.generators:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(10))


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

    def _destinations(self, spread, target):
        """Options that spread packets over all children's addresses."""
        plan, v6 = self.network.plan, "6" if self.network.plan.ip == 6 else ""
        if not spread:
            return [f"dst{v6} {target or plan.child(0)}"]
        last = plan.child(len(self.network.addresses) - 1)
        if v6:
            return [f"dst6_min {plan.child(0)}", f"dst6_max {last}", "flag IPDST_RND"]
        return [f"dst_min {plan.child(0)}", f"dst_max {last}"]

    def _link_layer(self, spread):
        if not self.network.path.get("own_mac"):
            return [f"dst_mac {UPLINK_MAC}"]
        if not spread:
            return [f"dst_mac {child_mac(0)}"]
        return [f"dst_mac {child_mac(0)}", f"dst_mac_count {len(self.network.addresses)}"]

    def configure(self, size, flows=1, spread=False, target=None):
        """Sets what the packets look like; `size` is the whole frame."""
        plan = self.network.plan
        last_port = FLOW_PORTS + (1 if spread else flows) - 1
        source = "src6" if plan.ip == 6 else "src_min"
        options = ["xmit_mode netif_receive", "clone_skb 0", "delay 0", "burst 1",
                   f"pkt_size {size}", f"src_mac {OUTSIDE_MAC}", f"{source} {plan.outside}",
                   f"udp_src_min {FLOW_PORTS}", f"udp_src_max {last_port}",
                   f"udp_dst_min {PORT}", f"udp_dst_max {PORT}",
                   *self._link_layer(spread), *self._destinations(spread, target)]
        if plan.ip == 4:
            options.append(f"src_max {plan.outside}")
        with self.network.parent:
            for cpu in range(self.cpus):
                for option in options:
                    write(f"{PROC}/{self._device(cpu)}", option)

    def send(self, count):
        """Sends so many packets (on each CPU); returns nanoseconds per packet."""
        with self.network.parent:
            for cpu in range(self.cpus):
                write(f"{PROC}/{self._device(cpu)}", f"count {count}")
            write(f"{PROC}/pgctrl", "start")
            results = [Path(f"{PROC}/{self._device(cpu)}").read_text(encoding="ascii")
                       for cpu in range(self.cpus)]
        return sum(_per_packet(result, count) for result in results) / self.cpus

    def close(self):
        """Takes the uplink away from the generator."""
        with self.network.parent:
            for cpu in range(self.cpus):
                write(f"{PROC}/kpktgend_{cpu}", "rem_device_all")


def _per_packet(text, count):
    found = _RESULT.search(text.partition("Result: OK:")[2])
    if not found or int(found[2]) != count:
        raise CommandFailed(f"pktgen: {text.partition('Result:')[2].strip() or 'no result'}")
    return int(found[1]) * 1000 / count
