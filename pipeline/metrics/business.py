"""Figures of the business, declared in goldfeed.yml: one SELECT each on the published tables."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from pipeline.errors import GoldfeedError
from pipeline.feed.snapshot import open_snapshot
from pipeline.metrics.families import Family
from pipeline.metrics.text import Starts, family_text
from pipeline.project.metric import MetricFile
from pipeline.project.project import Project
from pipeline.published import current

PREFIX = "goldfeed_business_"


class Business:
    """Asks the published version once, beside the scrapes: a scrape never waits for a query."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._asked: tuple[str | None, tuple[str, ...]] = (None, ())
        self._values: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def text(self, project: Project) -> str:
        """The last values, as text; asks anew, in a thread, when the version or the declarations have changed."""
        asked = (current(project.settings.published), tuple(metric.sql for metric in project.metrics.values()))
        with self._lock:
            idle = self._thread is None or not self._thread.is_alive()
            if asked != self._asked and asked[0] is not None and project.metrics and idle:
                self._asked = asked
                self._thread = threading.Thread(target=self._ask, args=(project, asked[0]), daemon=True)
                self._thread.start()
            values = dict(self._values)
        return "".join(
            family_text(Family(PREFIX + name, "gauge", (), metric.description), {(): values[name]}, Starts())
            for name, metric in sorted(project.metrics.items())
            if name in values
        )

    def wait(self, seconds: float = 30.0) -> None:
        """Until the figures that were asked for are there."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _ask(self, project: Project, version: str) -> None:
        values: dict[str, float] = {}
        try:
            snapshot = open_snapshot(project.settings, version)
            try:
                for name, metric in project.metrics.items():
                    values |= self._one(name, metric, snapshot.query)
            finally:
                snapshot.connection.close()
        except GoldfeedError as error:
            self._log.warning("the figures of the business could not be read", reason=error.sentence())
        with self._lock:
            self._values = values

    def _one(self, name: str, metric: MetricFile, query: Any) -> Mapping[str, float]:
        """{name: value}, or nothing when the query fails or does not give one number."""
        try:
            _, rows = query(metric.sql)
            return {name: float(rows[0][0])}
        except (GoldfeedError, IndexError, TypeError, ValueError) as error:
            reason = error.sentence() if isinstance(error, GoldfeedError) else "it does not give one number"
            self._log.warning("a figure of the business could not be read", metric=name, reason=reason)
            return {}
