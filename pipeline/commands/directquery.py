"""What the commands for PostgreSQL do."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from pipeline import show
from pipeline.directquery.follow import follow
from pipeline.directquery.load import load
from pipeline.errors import UsageError
from pipeline.project.project import Project


def _url(project: Project) -> str:
    if not project.settings.postgres_url:
        raise UsageError(
            "there is no PostgreSQL to load into", where="directquery",
            do="set GOLDFEED_POSTGRES_URL, e.g. postgresql://goldfeed@localhost/goldfeed",
        )  # fmt: skip
    return project.settings.postgres_url


def load_once(project: Project, *, json_out: bool) -> None:
    """Load the current version and say what came of it."""
    version, rows = load(project.settings, _url(project), project.folder)
    if json_out:
        show.print_json({"version": version, "rows": rows, "loaded": rows > 0})
    elif rows:
        show.out().print(f"Version {version} is in PostgreSQL: {rows:,} rows.", highlight=False)
    else:
        show.out().print(f"PostgreSQL has version {version} already.", highlight=False)


def watch(project: Project, seconds: float, heartbeat: Path | None) -> None:
    """Follow the publications until SIGTERM or SIGINT."""
    if not 0.1 <= seconds <= 86_400:
        raise UsageError("--watch takes 0.1 to 86400 seconds", where="directquery load")
    if heartbeat and not heartbeat.parent.is_dir():
        raise UsageError(
            f"there is no folder {heartbeat.parent}",
            where="directquery load",
            do="give --heartbeat a file in a folder that is there",
        )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    follow(
        project.settings,
        _url(project),
        project.folder,
        seconds,
        stop,
        lambda text: show.err().print(text, highlight=False),
        heartbeat,
    )
