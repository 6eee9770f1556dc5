"""What the feed counts of its requests, in memory: they begin at nought with each start, as counters may."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
_ROUTES = 50  # routes come from a fixed table; what is beyond this is counted together


@dataclass
class RouteCount:
    """One route: requests by status, how many took at most each of BUCKETS (the last: longer), and sums."""

    statuses: dict[int, int] = field(default_factory=dict)
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    rows: int = 0
    bytes: int = 0


class FeedCounters:
    """Counts requests; any thread may add, any may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: dict[str, RouteCount] = {}
        self.damaged: set[str] = set()  # versions that readers should have seen, and whose files are not as published

    def observe(self, *, route: str, status: int, seconds: float, rows: int, bytes: int) -> None:
        """One request that has ended. `route` is a pattern such as /files/{table}, never a path as it was asked for."""
        with self._lock:
            if route not in self._routes and len(self._routes) >= _ROUTES:
                route = "other"
            count = self._routes.setdefault(route, RouteCount())
            count.statuses[status] = count.statuses.get(status, 0) + 1
            count.durations[bisect_left(BUCKETS, seconds)] += 1
            count.seconds += seconds
            count.rows += rows
            count.bytes += bytes

    def found_damaged(self, version: str) -> None:
        """A version is refused."""
        self.damaged.add(version)

    def read(self) -> dict[str, RouteCount]:
        """A copy of all counts, by route."""
        with self._lock:
            return {
                route: RouteCount(dict(one.statuses), list(one.durations), one.seconds, one.rows, one.bytes)
                for route, one in self._routes.items()
            }
