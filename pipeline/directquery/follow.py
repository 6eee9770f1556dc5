"""Follow the publications: load each as it comes, and try again when the server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.directquery.load import load
from pipeline.errors import GoldfeedError, PublishError
from pipeline.published import current
from pipeline.settings import Settings

_LONGEST = 60.0  # seconds between attempts when the server stays away


def follow(
    settings: Settings,
    url: str,
    project: Path,
    seconds: float,
    stop: threading.Event,
    tell: Callable[[str], None],
    heartbeat: Path | None = None,
) -> None:
    """Load the current version whenever it is another than the server's, until `stop` is set.

    What goes wrong is told once, then tried again after twice the time, at most a minute.

    Args:
        heartbeat: a file that is there, and new, while the server has all that is published.
    """
    wait, last = seconds, ""
    while not stop.is_set():
        wrong, well = _look(settings, url, project, tell)
        if wrong and wrong != last:
            tell(f"waiting: {wrong}")
        _beat(heartbeat, well)
        wait, last = seconds if well else min(wait * 2, _LONGEST), wrong
        stop.wait(wait)


def _look(settings: Settings, url: str, project: Path, tell: Callable[[str], None]) -> tuple[str, bool]:
    """Load what is new. Returns what is wrong, and whether the server has all that is published.

    Before the first version it has: `load` asks the server first.
    """
    try:
        version, rows = load(settings, url, project)
    except PublishError as error:
        return error.sentence(), current(settings.published) is None
    except GoldfeedError as error:
        return error.sentence(), False
    if rows:
        tell(f"version {version} is in PostgreSQL: {rows:,} rows")
    return "", True


def _beat(heartbeat: Path | None, well: bool) -> None:
    """Its age tells of a loader that hangs, its absence of one that fails: no health check needs an interpreter."""
    if heartbeat and well:
        heartbeat.touch()
    elif heartbeat:
        heartbeat.unlink(missing_ok=True)
