"""Follow the publications: load each as it comes, and try again when the server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.directquery.load import load
from pipeline.errors import GoldfeedError
from pipeline.settings import Settings

_LONGEST = 60.0  # seconds between attempts when the server stays away


def follow(
    settings: Settings, url: str, project: Path, seconds: float, stop: threading.Event, tell: Callable[[str], None]
) -> None:
    """Load the current version whenever it is another than the server's, until `stop` is set.

    What goes wrong is told once, then tried again after twice the time, at most a minute.
    """
    wait, last = seconds, ""
    while not stop.is_set():
        try:
            version, rows = load(settings, url, project)
        except GoldfeedError as error:
            if error.sentence() != last:
                tell(f"waiting: {error.sentence()}")
            wait, last = min(wait * 2, _LONGEST), error.sentence()
        else:
            wait, last = seconds, ""
            if rows:
                tell(f"version {version} is in PostgreSQL: {rows:,} rows")
        stop.wait(wait)
