"""Time as an argument: everything that needs the time is given a Clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now, UTC, naive, to the microsecond: the form the ledger stores."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Clock:
    """now: UTC, naive. seconds: monotonic. sleep: waits that many seconds."""

    now: Callable[[], datetime] = utc_now
    seconds: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wall_seconds(self) -> float:
        """Seconds since 1970, to compare with the times of files."""
        return self.now().replace(tzinfo=UTC).timestamp()
