"""Runs a program against three fresh nodes that speak TLS, with the line that ``kv dev --json`` would say as its last argument.

Usage: ``tls.py KV DIRECTORY PROGRAM ARGUMENT...``. The line has one member more, ``identity``: the client's directory.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import kvorum


def free_base() -> int:
    """A port that is free now, like the two after it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            base = int(probe.getsockname()[1])
        try:
            for port in (base + 1, base + 2):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue


def await_cluster(endpoints: list[str], identity: Path) -> None:
    """Waits until every node takes a write that all three must hold."""
    for endpoint in endpoints:
        end = time.monotonic() + 60
        while True:
            try:
                with kvorum.connect(endpoint, identity=kvorum.Identity.from_directory(identity)) as client:
                    client.bucket().put(b"ready", b"", w=3, deadline=5)
                break
            except kvorum.KvorumError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def main(kv: str, directory: Path, program: list[str]) -> int:
    """Starts the nodes, runs the program, ends the nodes; its exit code."""
    bases = [free_base() for _ in range(3)]
    options = [option for n, base in enumerate(bases, 1) for option in ("--node", f"n{n}=127.0.0.1:{base}")]
    subprocess.run([kv, "cluster", "init", *options, "--out", directory], check=True, stdout=subprocess.DEVNULL)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for n in range(1, 4):
            with (directory / f"n{n}.log").open("wb") as log:
                running.append(subprocess.Popen([kv, "node", "start", directory / f"n{n}"], stdout=log, stderr=log))
        settings = (directory / "client" / "config.toml").read_text()
        listed = next(line for line in settings.splitlines() if line.startswith("endpoints"))
        endpoints: list[str] = json.loads(listed.partition("=")[2])
        await_cluster(endpoints, directory / "client")
        nodes = [
            {"id": endpoint.partition("@")[0], "pid": node.pid} for endpoint, node in zip(endpoints, running, strict=True)
        ]
        ready = {"endpoints": endpoints, "nodes": nodes, "identity": str(directory / "client")}
        return subprocess.run([*program, json.dumps(ready)], check=False).returncode
    finally:
        for node in running:
            node.send_signal(signal.SIGCONT)
            node.terminate()
        for node in running:
            node.wait(30)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
