"""What a flow's terms come to: when it was due and missed, what it may take, what took too long. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile

from pipeline.project.almanac import due_after
from pipeline.project.flow import Flow
from pipeline.results import RunResult
from pipeline.steps.context import Policy

ON_TIME = timedelta(seconds=60)  # a run noticed this late counts as on time, not as missed
_AT_MOST = 1000  # missed runs of one flow that `catch_up: all` does


def late_in(result: RunResult, flow: Flow) -> list[tuple[str | None, str]]:
    """(table, what took how long) of each SLA of a flow that a run did not keep; None for the run as a whole."""
    took: list[tuple[str | None, str, float, float]] = [(None, "the run", result.seconds, flow.spec.sla)]
    for task in result.tasks:
        sla = flow.spec.tables[task.table].sla if task.table in flow.spec.tables else None
        took += [(task.table, task.task, task.seconds, sla)] if sla else []
    return [(table, f"{what} took {s:.0f} s, its SLA is {sla:g} s") for table, what, s, sla in took if s > sla]


def policy_of(flow: Flow) -> Policy:
    """What a flow says of retries and limits."""
    spec = flow.spec
    limits = {name: table.time_limit for name, table in spec.tables.items() if table.time_limit}
    slas = {name: table.sla for name, table in spec.tables.items() if table.sla}
    return Policy(
        spec.retries, spec.retry_wait, spec.retry_cap, spec.time_limit, spec.run_time_limit, spec.sla, limits, slas
    )


def missed(flow: Flow, since: datetime, now: datetime) -> list[tuple[datetime, str]]:
    """The times after `since` up to `now` at which a flow was due, each waiting or skipped as its `catch_up` says."""
    spec = flow.spec
    dues = list(takewhile(lambda due: due <= now, due_after(spec.schedule or "", spec.time_zone, since)))
    if not dues:
        return []
    if spec.catch_up == "all":
        kept = dues[-_AT_MOST:]
    elif spec.catch_up == "latest":
        kept = dues[-1:]
    else:
        kept = [due for due in dues[-1:] if now - due <= ON_TIME]
    return [(due, "waiting" if due in kept else "skipped") for due in dues]
