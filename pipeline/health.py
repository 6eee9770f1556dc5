"""Whether the service is well: the warehouse answers a query, and its volume takes something more."""

from __future__ import annotations

import threading
from pathlib import Path

from pipeline.clock import Clock
from pipeline.errors import GoldfeedError
from pipeline.keeper import Keeper
from pipeline.project.project import Project

_ROOM = 1_000_000  # bytes that the volume must take
_BELIEVED = 5.0  # seconds that an answer is believed
_CLOSED = 60.0  # seconds after which a warehouse that nobody uses is opened to see whether it can be


class Health:
    """Looked at as often as anybody asks, but the work is done every few seconds only."""

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper, self._clock = keeper, clock
        self._lock = threading.Lock()
        self._looked = self._asked = float("-inf")
        self._wrong: str | None = None

    def wrong(self, project: Project) -> str | None:
        """What is wrong, in a sentence; None when all is well."""
        with self._lock:
            now = self._clock.seconds()
            if now - self._looked >= _BELIEVED:
                self._wrong, self._looked = self._look(project, now), now
            return self._wrong

    def _look(self, project: Project, now: float) -> str | None:
        try:
            _take_room(project.settings.home / ".room")
            if self._wrong or self._keeper.is_open or now - self._asked >= _CLOSED:
                self._keeper.ask(project)
                self._asked = now
        except OSError as error:
            return f"the volume of {project.settings.home} takes no more: {error.strerror or error}"
        except GoldfeedError as error:
            return f"the warehouse does not answer: {error.what}"
        return None


def _take_room(path: Path) -> None:
    """Have the volume take a megabyte, and take it back. Raises OSError when it cannot."""
    try:
        path.write_bytes(bytes(_ROOM))
    finally:
        path.unlink(missing_ok=True)
