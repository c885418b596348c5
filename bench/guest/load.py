# SPDX-License-Identifier: GPL-2.0
"""Drives the load program: run after run over the same sockets."""
import json
import subprocess

import window
from addresses import PORT
from netns import Lost
from path import guest_file


class Load:
    """A load from one namespace to another; use it with `with`."""

    def __init__(self, name, source, target, addresses, cell):
        words = {"from": source.path, "to": target.path, "src": addresses[0],
                 "dst": addresses[1], "port": PORT, "size": cell["size"],
                 "own": str(not window.PROFILING).lower(),
                 "connected": str(cell["connected"]).lower(),
                 "reverse": str(cell.get("direction") == "out").lower()}
        self._process = subprocess.Popen(
            [guest_file("load"), name, *(f"{key}={value}" for key, value in words.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, warm, count):
        """So many operations (bytes of a stream), after some that are not measured."""
        try:
            self._process.stdin.write(f"{warm} {count}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass        # it has said why
        said = self._process.stdout.readline()
        result = json.loads(said or '{"error": "the load died"}')
        if "error" in result:
            raise Lost(result["error"])
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdout.close()
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()
