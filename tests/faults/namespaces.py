"""Two machines on this one: network namespaces with nothing in common but a cable between them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ADDRESSES = ("10.213.77.1", "10.213.77.2")


class Machine(NamedTuple):
    """``enter``: the words before a command line that run it there."""

    address: str
    enter: list[str]


class NoNamespaces(Exception):
    """This system has none for us; the message says why."""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def two_machines(folder: Path) -> Iterator[list[Machine]]:
    """Two namespaces that reach each other by name and address, and nothing else; gone after the block.

    Each has the host name that its address has in the hosts file, which is written to ``folder``.

    Raises:
        NoNamespaces: this process may not make them, or lacks the tools.
    """
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "mount", "hostname"))):
        raise NoNamespaces(
            "network namespaces take root's rights and the programs of iproute2 and util-linux"
        )
    names = [f"urbandg-{os.getpid()}-{place}" for place in (0, 1)]
    hosts = folder / "hosts"
    lines = [f"{address} {name}\n" for address, name in zip(ADDRESSES, names, strict=True)]
    hosts.write_text("".join(["127.0.0.1 localhost\n", *lines]), encoding="utf-8")
    try:
        try:
            _connect(names)
        except subprocess.CalledProcessError as error:
            raise NoNamespaces(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from None
        yield [
            Machine(address, _entering(name, hosts)) for address, name in zip(ADDRESSES, names, strict=True)
        ]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _connect(names: list[str]) -> None:
    """Make the namespaces, with one end of a cable, called ``cable``, in each."""
    for name in names:
        _ip("netns", "add", name)
    ends = ["link", "add", "cable", "netns", names[0], "type", "veth"]
    _ip(*ends, "peer", "name", "cable", "netns", names[1])
    for name, address in zip(names, ADDRESSES, strict=True):
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
        for device in ("lo", "cable"):
            _ip("-n", name, "link", "set", device, "up")


def _entering(name: str, hosts: Path) -> list[str]:
    """``ip netns exec`` gives a process mounts of its own, so that the system's hosts file stays as it is."""
    script = 'hostname "$1" && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"'
    return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", script, "sh", name, str(hosts)]
