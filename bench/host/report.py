# SPDX-License-Identifier: GPL-2.0
"""The report that a run prints and leaves beside its figures."""
import table
import targets

WARNING = {
    "uml": "warning: UML has no BPF JIT and overstates softirq hops (veth, netkit, bridges, passthru\n"
           "without a shortcut, every TCP stream): trust it for paths without one. To turn interrupts off\n"
           "is a system call there.\n",
}


def lines(lab, figures, missing):
    """All of it. Targets are of instructions."""
    if lab in WARNING:
        yield WARNING[lab]
    yield from table.terminal(figures, missing)
    if lab == "stock":
        yield from targets.terminal(figures, missing)
