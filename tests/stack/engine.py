"""Docker for the tests of this room: the compose file of the repository, as it ships."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "goldfeed-test"


def composed(*words: str, files: tuple[Path, ...] = ()) -> list[str]:
    """`docker compose WORDS` on the compose file, and on `files` that change it for a test."""
    named = [word for file in (ROOT / "docker-compose.yml", *files) for word in ("-f", str(file))]
    return ["docker", "compose", "-p", PROJECT, *named, *words]


def docker(*words: str, check: bool = True, files: tuple[Path, ...] = (), **given: Any) -> subprocess.CompletedProcess[str]:
    """Run `docker compose WORDS` to its end."""
    done = subprocess.run(composed(*words, files=files), cwd=ROOT, capture_output=True, text=True, **given)
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


def tool(name: str, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """promtool or amtool: that of this machine, else that of the image the compose file names."""
    if shutil.which(name):
        return subprocess.run([name, *words], cwd=ROOT, capture_output=True, text=True, input=given)
    image = {"promtool": "prom/prometheus:v3.13.2", "amtool": "prom/alertmanager:v0.33.1"}[name]
    box = ["docker", "run", "--rm", "-i", "--network", "none", "-v", f"{ROOT}:/work:ro", "-w", "/work", "--entrypoint", f"/bin/{name}"]
    return subprocess.run([*box, image, *words], capture_output=True, text=True, input=given)


def until(found: Callable[[], Any], seconds: float, every: float = 1.0) -> Any:
    """Ask until there is an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"it did not come within {seconds:.0f} s")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def free_ports() -> dict[str, int]:
    """A port of this machine for each that the compose file publishes, by the name of its knob."""
    names = re.findall(r"\$\{(\w+_PORT):", (ROOT / "docker-compose.yml").read_text())
    return {name: free_port() for name in names}
