"""When each flow is due next, and an alarm for it: APScheduler wakes the loop, the ledger knows what is owed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.project.almanac import due_after
from pipeline.project.flow import Flow
from pipeline.terms import missed


class Schedules:
    """The next time of every flow that has a schedule. `wake` is called when one has come."""

    def __init__(self, log: Any, wake: Callable[[], None]) -> None:
        self._log, self._wake = log, wake
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._next: dict[str, datetime | None] = {}

    @property
    def watched(self) -> bool:
        """Whether the alarms go off."""
        return bool(self._scheduler.running)

    def begin(self) -> None:
        """Have the alarms go off from now on."""
        self._scheduler.start()

    def end(self) -> None:
        """No more alarms."""
        self._scheduler.shutdown(wait=False)

    def plan(self, flows: Mapping[str, Flow], last: Mapping[str, datetime], now: datetime) -> None:
        """Find the next time of every flow, after the last one that was looked at."""
        self._next.clear()
        for name, flow in flows.items():
            if flow.spec.schedule:
                self._plan_one(flow, last.get(name) or now)

    def _plan_one(self, flow: Flow, since: datetime) -> None:
        due = next(due_after(flow.spec.schedule or "", flow.spec.time_zone, since), None)
        self._next[flow.name] = due
        if due is not None and self.watched:
            self._scheduler.add_job(
                self._wake, "date", run_date=due, id=flow.name, replace_existing=True, misfire_grace_time=None
            )

    def late(self, now: datetime) -> dict[str, datetime]:
        """The flows whose time has come."""
        return {name: due for name, due in self._next.items() if due is not None and due <= now}

    def missed(self, flow: Flow, since: datetime, now: datetime) -> list[tuple[str, datetime, str]]:
        """When a flow was due up to now, to be written down; and see to when it is next."""
        dues = missed(flow, since, now)
        skipped = sum(state == "skipped" for _, state in dues)
        if skipped:
            self._log.warning("missed runs were skipped", flow=flow.name, skipped=skipped, catch_up=flow.spec.catch_up)
        self._plan_one(flow, now)
        return [(flow.name, due, state) for due, state in dues]

    def next_runs(self) -> dict[str, datetime | None]:
        """When each flow with a schedule is due next."""
        return dict(self._next)
