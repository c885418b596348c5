# SPDX-License-Identifier: GPL-2.0
"""Builds what guests need, and boots one with a plan."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
LAB = str(TOP / "scripts" / "lab")
BUILT = TOP / "build" / "bench"

# TCG counts every byte of a fast REP MOVS or STOS as an instruction, which no
# processor does. Without the flags the kernel copies and clears word by word.
CPU = ("--qemu=-cpu", "--qemu=max,fsrm=off,fsrs=off,fzrm=off,fsrc=off,erms=off")

_HASH = re.compile(r"(?<=\w)\[[0-9a-f]+\]")     # of a Rust crate, in a symbol


class Failed(Exception):
    """A guest did not do what it was told."""


def scratch():
    """A folder for a while, where the toolchain root sees it."""
    BUILT.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="tmp.", dir=BUILT)


def build(lab):
    """Builds the module for a lab's kernel, and the helpers for the guest, one run at a time."""
    alone = ["flock", str(TOP / "build" / ".lock")]
    helpers = [*alone, LAB, "toolchain", "make", "-s", "-C", str(TOP / "bench"), f"O={BUILT}"]
    for what, command in (("module", [LAB, "build", lab]), ("helpers", helpers)):
        if subprocess.run(command, check=False).returncode:
            raise Failed(f"the {what}: does not build")


def readable(names):
    """Rust symbols as a reader knows them, by the toolchain's c++filt."""
    done = subprocess.run([LAB, "toolchain", "c++filt"], input="\n".join(names), text=True,
                          capture_output=True, check=False)
    # A crate's hash is of its sources: no two profiles would have a name in common.
    lines = [_HASH.sub("", line) for line in done.stdout.splitlines()]
    return dict(zip(names, lines if len(lines) == len(names) else names))


def _alone(lab):
    """Where time counts, nothing ordinary may take the processor from the guest."""
    may = lab == "uml" and os.geteuid() == 0 and shutil.which("chrt")
    return ["chrt", "-r", "1"] if may else []


def end(process):
    """Ends a guest, and the lab that waits for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)


def guest(program, plan, out, lab, memory=2000, timeout=5400, more=(), say=print,
          started=lambda process: None):
    """Boots a guest that runs bench/guest/PROGRAM with a plan; files go to out."""
    with scratch() as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan), encoding="utf-8")
        counted = ["--icount", *CPU] if lab == "stock" else ["--cpus", str(plan.get("cpus", 2))]
        command = [*_alone(lab), LAB, "run", "--lab", lab, *counted, "--mem", str(memory),
                   "--timeout", str(timeout), "--in", str(file), "--out", str(out), *more,
                   "--", f"bench/guest/{program}", "plan.json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace",
                              cwd=TOP, start_new_session=True) as process:
            started(process)
            for line in process.stdout:
                say(line.rstrip())
        if process.returncode:
            raise Failed(f"{program}: the guest ended with status {process.returncode}")
