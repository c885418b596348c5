# SPDX-License-Identifier: GPL-2.0
"""Runs boots, some at a time, and keeps what each left for a run that goes on.

A boot's folder has done.json when it ended well: with it, and the same plan
and source, a resumed run need not boot it again.
"""
import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boots


def _memory(plan):
    """What the most children of a plan need, in megabytes."""
    most = max(cell["children"] for cell in plan["cells"])
    return 2000 if most < 1000 else 3000 if most == 1000 else 8000


def _words(plan):
    """What the kernel is told of a plan. It makes its hash of UDP sockets by memory, a slot
    for each two megabytes: with as few as a guest has, what grows is its chains, on every path.
    This is as much as a machine of 64 GB has."""
    grows = any(cell.get("grows") for cell in plan["cells"])
    return ("--append", "uhash_entries=32768") if grows else ()


def _mark(plan, source):
    """What must be the same for a boot's figures to be used again."""
    return {"source": source, "plan": plan}


def done(folder, plan, source):
    """How many seconds a boot took that ended well; None if it has to run."""
    try:
        known = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = known["mark"] == json.loads(json.dumps(_mark(plan, source)))
    return known["seconds"] if same else None


class Pool:
    """The boots of one run."""

    def __init__(self, lab, out, source, resume=False):
        self.lab, self.out, self.source, self.resume = lab, Path(out), source, resume
        self.seconds = {}       # of each boot that ended well
        self.wrong = []         # what went wrong
        self._guests = set()
        self._lock = threading.Lock()
        self._stopped = False

    def _one(self, plan, head):
        folder = self.out / plan["name"]
        known = done(folder, plan, self.source) if self.resume else None
        if known is not None:
            self.seconds[plan["name"]] = known
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.monotonic()
        try:
            boots.guest("run", plan, folder, self.lab, _memory(plan), more=_words(plan),
                        started=self._started,
                        say=lambda line: print(f"{head} {line}", flush=True))
        except boots.Failed as error:
            with self._lock:
                self.wrong.append(f"{plan['name']}: {'stopped' if self._stopped else error}")
            return
        took = round(time.monotonic() - start)
        self.seconds[plan["name"]] = took
        text = json.dumps({"seconds": took, "mark": _mark(plan, self.source)})
        (folder / "done.json").write_text(text + "\n", encoding="utf-8")
        print(f"{head} done in {took} s", flush=True)

    def _started(self, process):
        with self._lock:
            self._guests.add(process)
        if self._stopped:
            boots.end(process)

    def _stop(self):
        """Ends what runs; what is finished stays."""
        self._stopped = True
        with self._lock:
            for process in self._guests:
                boots.end(process)

    def run(self, plans):
        """Runs plans, two at a time where the lab does not care who else runs.

        Returns the folders with what each left. A signal ends it early.
        """
        at_once = min(2, os.cpu_count() or 1) if self.lab == "stock" else 1
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(self._one, plan, f"[{number}/{len(plans)} {plan['name']}]")
                    for number, plan in enumerate(plans, 1)]
            try:
                for job in jobs:
                    job.result()
            except KeyboardInterrupt:
                self._stop()
                pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, before)
        self.wrong += [f"{plan['name']}: not run" for plan, job in zip(plans, jobs)
                       if job.cancelled()]
        return [self.out / plan["name"] for plan in plans]
