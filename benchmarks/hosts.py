"""Two hosts on one machine: network namespaces, joined by a cable that may be slow and can be cut.

It needs Linux, root and `ip` of iproute2, and for a slow cable /dev/net/tun.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
DEVICE = "cable"  # the name of the network device in each host
# Else processes that are started again may read the addresses of those before them.
NEW_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
ADDRESSES = ("10.177.0.1", "10.177.0.2")  # only within the namespaces
PORT = 29500


class Cable(NamedTuple):
    """What a slow cable does to packets."""

    round_trip_ms: float
    mbit_per_s: float


def obstacle() -> str | None:
    """Why this machine cannot have two hosts; None if it can."""
    if shutil.which("ip") is None:
        return "needs ip of iproute2"
    name = f"probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "needs network namespaces, which root can make"
    _ip("netns", "delete", name)
    return None


class TwoHosts(contextlib.ExitStack):
    """Two network namespaces, as a context manager that removes them, with what runs in them.

    Args:
        cable: None for one as fast as memory.
    """

    def __init__(self, cable: Cable | None = None) -> None:
        super().__init__()
        self.names = [f"host{number}-{os.getpid()}" for number in (1, 2)]
        self.cable = cable

    def __enter__(self) -> "TwoHosts":
        super().__enter__()
        try:
            self._create()
        except BaseException:
            self.close()
            raise
        return self

    def _create(self) -> None:
        for name in self.names:
            _ip("netns", "add", name)
            self.callback(_delete, name)
        devices = [f"lc{os.getpid()}-{number}" for number in (1, 2)]
        if self.cable is None:
            _ip("link", "add", devices[0], "type", "veth", "peer", devices[1])
        else:
            self._start_relay(devices, self.cable)
        for name, device, address, other in zip(self.names, devices, ADDRESSES, ADDRESSES[::-1], strict=True):
            _ip("link", "set", device, "netns", name, "name", DEVICE)
            _ip("-n", name, "address", "add", f"{address}/32", "peer", other, "dev", DEVICE)
            for up in ("lo", DEVICE):
                _ip("-n", name, "link", "set", up, "up")

    def _start_relay(self, devices: Sequence[str], cable: Cable) -> None:
        options = [f"--{name}={value}" for name, value in cable._asdict().items()]
        command = [sys.executable, "-m", "benchmarks.workers.relay", *devices, *options]
        relay = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.callback(relay.wait)
        self.callback(relay.kill)
        assert relay.stdout is not None
        if relay.stdout.readline() != "ready\n":
            raise RuntimeError("the relay did not start; the lines above say why")

    def start(self, host: int, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command on host 0 or 1, from the root of this repository."""
        environment = os.environ | {"GLOO_SOCKET_IFNAME": DEVICE, "OMP_NUM_THREADS": "1"} | options.pop("env", {})
        words = ["ip", "netns", "exec", self.names[host], *command]
        return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, **options)

    def torchrun(self, host: int, *arguments: str, options: Sequence[str] = (), **more: Any) -> subprocess.Popen[str]:
        """Start the command line with torchrun, one process on each host.

        Args:
            host: 0 or 1. The processes find each other at host 0.
            *arguments: Of `main.py`.
            options: Of torchrun.
            **more: Of `Popen`.
        """
        words = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        words += ["--rdzv-backend=c10d", f"--rdzv-endpoint={ADDRESSES[0]}:{PORT}", f"--local-addr={ADDRESSES[host]}"]
        # torchrun looks for itself by name, and both have this machine's. It gives up the other host after 60 s.
        words += [f"--rdzv-conf=is_host={1 - host},read_timeout=300"]
        environment = NEW_STORE | more.pop("env", {})
        return self.start(host, [*words, *options, "main.py", *arguments], env=environment, **more)

    def cut(self) -> None:
        """Cut the cable. Connections stay open, but nothing arrives."""
        _ip("-n", self.names[1], "link", "set", DEVICE, "down")

    def mend(self) -> None:
        """Join the cable again."""
        _ip("-n", self.names[1], "link", "set", DEVICE, "up")


def _delete(name: str) -> None:
    """Delete a network namespace, with the processes in it."""
    numbers = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout
    for number in map(int, numbers.split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
