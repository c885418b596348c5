# SPDX-License-Identifier: GPL-2.0
"""Makes a fresh guest ready for the contestants."""
import os
import resource

from netns import CommandFailed, run, set_all, write

MODULES = ("dummy", "veth", "ipvlan", "macvlan", "bridge", "sch_ingress", "cls_bpf",
           "nf_tables", "nft_ct", "nft_masq")

# Quiet namespaces: nothing but the measured load sends packets. Set once, in the
# namespace that all others inherit from.
QUIET = {
    "core/devconf_inherit_init_net": "1",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/router_solicitations": "0",
    "ipv6/conf/default/autoconf": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
    "ipv6/conf/default/mldv1_unsolicited_report_interval": "10",
    "ipv6/conf/default/mldv2_unsolicited_report_interval": "10",
}

# Room for a neighbour for each of thousands of ports. Beyond the default of 1024
# every packet that is routed to a device without ARP makes its entry anew.
ROOM = {f"{family}/neigh/default/gc_thresh{n}": str(1 << 16)
        for family in ("ipv4", "ipv6") for n in (3, 2, 1)}


def prepare(plan):
    """Modules, limits, and what every namespace made from now on begins with."""
    _load_modules(plan)
    # A descriptor or two for each of thousands of children.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 17, 1 << 17))
    write("/proc/sys/kernel/pid_max", str(1 << 22))
    set_all((QUIET | ROOM).items())


def _load_modules(plan):
    """Loads what the contestants need; some kernels have parts built in."""
    wanted = list(MODULES)
    if any(cell["work"] == "rx-udp" for cell in plan["cells"]):
        wanted.append("pktgen")
    for module in wanted:
        try:
            run("modprobe", "-q", module)
        except CommandFailed:
            pass        # built in, or not there: then its paths say so
    module = os.environ.get("PASSTHRU_KO", "")
    if os.path.exists(module):
        run("insmod", module)
