"""The demo shop, day by day: a month at once, then a day every minute."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from pipeline.demo.shop import write_shop

_DAYS, _AT_ONCE, _ORDERS = 120, 30, 80_000
_EVERY = 60.0


class Drip:
    """Moves the days of a shop, written beside landing/ on the first start, into it one by one."""

    def __init__(self, home: Path, *, orders: int = _ORDERS, days: int = _DAYS, every: float = _EVERY) -> None:
        self._folder, self._landing = home / "demo", home / "landing"
        self._orders, self._days, self._every = orders, days, every

    def run(self, stop: threading.Event) -> None:
        """Until there is no day left, or `stop` is set. A restart goes on with the next day."""
        if not (self._folder / "truth.json").exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            write_shop(self._folder, orders=self._orders, days=self._days, seed=7, dirty=0.01)
            for _ in range(_AT_ONCE):
                self.drop()
        while not stop.wait(self._every) and self.drop():
            pass

    def drop(self) -> bool:
        """Move the first day that is left into landing/. Returns whether there was one."""
        days = sorted(self._folder.glob("year=*/month=*/day=*"))
        if not days:
            return False
        for path in sorted(days[0].iterdir()):
            target = self._landing / path.relative_to(self._folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        days[0].rmdir()
        return True
