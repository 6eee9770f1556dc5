"""The line between a command and the service that does it: HTTP on a Unix socket in the home folder, answers as JSON lines."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = "control.sock"
BEAT = 1.0  # seconds between two signs of life while a command works
_LONGEST = 100  # bytes of a path that every system takes for a socket


@contextmanager
def address_of(home: Path) -> Iterator[str]:
    """A path to the socket that is short enough for the system, however long the home's is."""
    path = home / SOCKET
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    handle = os.open(home, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)


def connect(home: Path, timeout: float) -> socket.socket | None:
    """A connection to the service of a home; None when none runs, also if one was killed and left its socket."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(timeout)
    try:
        with address_of(home) as address:
            line.connect(address)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        line.close()
        return None
    except BaseException:
        line.close()
        raise
    return line
