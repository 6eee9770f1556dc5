"""The gate between what was built and what readers see: an error below gold stops, an error in gold withholds.

Needs a project and an open warehouse, nothing else: the command, the service
and a notebook ask the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pipeline.project.contract import fingerprint
from pipeline.project.project import Project
from pipeline.steps.check import stopped
from pipeline.warehouse.audits import Audits
from pipeline.warehouse.ledger import TableState


def in_the_way(audits: Audits, inputs: Iterable[str]) -> str | None:
    """The input below gold whose errors keep a table from being built; None if all inputs are good."""
    return next((name for name in inputs if audits.errors(name) and not name.startswith("gold.")), None)


def withheld(audits: Audits, gold: Iterable[str]) -> str | None:
    """Why gold may not be published as it stands; None if it may."""
    errors = tuple(error for name in gold for error in audits.errors(name))
    return stopped(errors) if errors else None


def unchecked(project: Project, audits: Audits, states: Mapping[str, TableState], now: datetime) -> dict[str, str]:
    """The tables that must be checked although they have not changed, and why."""
    found: dict[str, str] = {}
    for name, path in project.contracts.items():
        if name not in states:
            continue
        last = audits.of(name)
        if last is None or last.contract != fingerprint(path):
            found[name] = "its contract has changed" if last and last.contract else "its contract has not looked at it"
        elif last.version != states[name].version:
            found[name] = "its last rows were not looked at"
        elif last.partly and not _fresh(project, last.whole_at, now):
            found[name] = "all of its rows are due"
    return found


def _fresh(project: Project, whole_at: datetime | None, now: datetime) -> bool:
    return whole_at is not None and now - whole_at < timedelta(hours=project.settings.full_check_hours)
