# SPDX-License-Identifier: GPL-2.0
"""The kernel modules that the contestants need."""
import os

from netns import CommandFailed, run

MODULES = ("dummy", "veth", "ipvlan", "macvlan", "bridge", "sch_ingress", "cls_bpf",
           "nf_tables", "nft_ct", "nft_masq")


def load_modules(plan):
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
