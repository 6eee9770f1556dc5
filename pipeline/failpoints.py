"""Named places where a test can kill the process, to prove that a rerun mends it.

Set `GOLDFEED_CRASH_AT=name` (or `name:3` for the third time the place is
reached) and the process ends there by SIGKILL, as a power cut would end it.
"""

from __future__ import annotations

import os
import signal

NAMES = (
    "ingest.after_archive_fsync",
    "ingest.after_archive_rename",
    "ingest.before_commit",
    "ingest.after_commit",
    "ingest.after_unlink",
    "evolve.after_alter",
    "build.before_commit",
    "build.after_commit",
    "publish.after_columns",
    "publish.after_parquet",
    "publish.before_rename",
    "publish.after_rename",
    "publish.before_commit",
    "publish.after_commit",
    "publish.before_swap",
    "publish.after_swap",
    "publish.after_prune",
    "mend.before_rename",
    "mend.after_rename",
    "replay.before_commit",
    "replay.after_commit",
    "compact.after_copy",
    "compact.before_rename",
    "compact.after_rename",
    "retain.before_commit",
    "retain.after_commit",
    "retain.after_unlink",
    "run.before_finish",
    "run.after_finish",
)

_reached: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Die here by SIGKILL if the environment asks for it; otherwise do nothing."""
    wanted = os.environ.get("GOLDFEED_CRASH_AT")
    if not wanted:
        return
    place, _, times = wanted.partition(":")
    if place != name:
        return
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] == int(times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
