"""The commands that may be done here or by a running service: one table, so that both do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.commands import again, care, catalog, looks, mending, quality, retain, rows, runs
from pipeline.errors import UsageError
from pipeline.project.project import Project, load_file, load_project
from pipeline.settings import Settings


@dataclass(frozen=True)
class Place:
    """Where a command works: the project's folder, its home and the variables that hold settings."""

    folder: Path
    home: Path
    environ: Mapping[str, str]

    def project(self) -> Project:
        """The project, read now."""
        return load_project(self.folder, home=self.home, environ=self.environ)

    def settings(self) -> Settings:
        """Its settings alone: enough where no table is needed."""
        return load_file(self.folder, home=self.home, environ=self.environ)[1]


def _run(place: Place, *, select: Any, full_refresh: bool, from_archive: bool, quiet: bool, json_out: bool) -> bool:
    return runs.run(place.project(), runs.order(select, full_refresh, from_archive), quiet=quiet, json_out=json_out)


def _plan(place: Place, *, select: Any, full_refresh: bool, json_out: bool) -> None:
    runs.plan(place.project(), runs.order(select, full_refresh, False), json_out=json_out)


def _backfill(place: Place, *, first: str, last: str, select: Any, wait: float, quiet: bool, json_out: bool) -> bool:
    days = care.period(first, last)
    return care.backfill(place.project(), days, select, wait, quiet=quiet, json_out=json_out)


CALLS: dict[str, Callable[..., bool | None]] = {
    "run": _run,
    "plan": _plan,
    "backfill": _backfill,
    "retry": lambda place, *, number, **rest: again.retry(place.project(), number, **rest),
    "status": lambda place, **rest: looks.status(place.project(), **rest),
    "history": lambda place, *, limit, **rest: looks.history(place.project(), limit, **rest),
    "rollback": lambda place, *, version, **rest: looks.rollback(place.project(), version, **rest),
    "query": lambda place, *, sql, **rest: looks.query(place.settings(), sql, **rest),
    "checks": lambda place, *, table, number, **rest: quality.checks(place.project(), table, number, **rest),
    "publish": lambda place, *, accepted, why, **rest: quality.publish(place.project(), accepted, why, **rest),
    "retain": lambda place, **rest: retain.retain(place.project(), **rest),
    "doctor": lambda place, **rest: care.doctor(place.settings(), **rest),
    "describe": lambda place, *, table, **rest: catalog.describe(place.project(), table, **rest),
    "docs build": lambda place, **rest: catalog.build_docs(place.project(), **rest),
    "quarantine list": lambda place, *, source, limit, dropped, **rest: rows.quarantine_list(
        place.project(), source, limit, dropped, **rest
    ),
    "quarantine show": lambda place, *, number, **rest: rows.quarantine_show(place.project(), number, **rest),
    "quarantine export": lambda place, *, source: rows.quarantine_export(place.project(), source),
    "quarantine replay": lambda place, *, source, reason, **rest: mending.replay(
        place.project(), source, reason, **rest
    ),
    "quarantine fix": lambda place, *, file, **rest: mending.fix(place.project(), Path(file), **rest),
    "quarantine drop": lambda place, *, ids, source, reason, why, **rest: mending.drop(
        place.project(), ids, source, reason, why, **rest
    ),
}


def call(name: str, place: Place, arguments: Mapping[str, Any]) -> bool:
    """Do a command and show what it gives. Returns whether it went well."""
    if name not in CALLS:
        raise UsageError(f"the running service knows no command {name!r}", do="restart it: it is of another version")
    return CALLS[name](place, **arguments) is not False
