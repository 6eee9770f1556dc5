"""Flows that met an error that may pass: run again when there is room on the disk again, or a while later.

Room that was made between the error and the end of the run is not seen as such: the first wait is a short one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.results import RunResult

_WAITS = (15.0, 60.0, 300.0, 900.0)  # seconds until it is tried again although nothing is known to have changed
_ROOM = 8_000_000  # bytes more than at the failure: somebody has made room
_SOON = 5.0  # seconds in which the engine gives back what the failed run took


@dataclass(frozen=True)
class _Owed:
    """When it was last tried, how much room there was then, and how often it has been tried again."""

    at: float
    free: int
    times: int


class Again:
    """Remembers them. `free` tells the free bytes of the volume of a folder."""

    def __init__(self, free: Callable[[Path], int] = lambda home: shutil.disk_usage(home).free) -> None:
        self._free, self._owed = free, dict[str, _Owed]()

    def owes(self, flow: str) -> bool:
        """Whether a flow is to be run again."""
        return flow in self._owed

    def heard(self, flow: str, result: RunResult | None, home: Path, now: float) -> None:
        """A run has ended; without a result it was cut off by such an error before it could tell."""
        before = self._owed.pop(flow, None)
        failed = [task for task in result.tasks if task.status == "failed"] if result else []
        if result is None or any(task.may_pass for task in failed):
            self._owed[flow] = _Owed(now, self._free(home), before.times + 1 if before else 0)

    def due(self, home: Path, now: float) -> list[str]:
        """The flows whose time has come."""
        if not self._owed:
            return []
        free = self._free(home)
        return [flow for flow, owed in self._owed.items() if _is_due(owed, free, now - owed.at)]


def _is_due(owed: _Owed, free: int, waited: float) -> bool:
    if waited >= _SOON and free >= owed.free + _ROOM:
        return True
    return owed.times < len(_WAITS) and waited >= _WAITS[owed.times]
