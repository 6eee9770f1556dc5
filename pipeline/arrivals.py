"""Files that have come for a flow, and have been still for long enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.landing.scan import FoundFile, scan
from pipeline.project.flow import Flow
from pipeline.project.project import Project


@dataclass
class Waiting:
    """The files that wait for a flow, since when they have been the same, and whether they were tried."""

    files: tuple[FoundFile, ...] = ()
    since: float = 0.0
    tried: bool = False


class Arrivals:
    """What lies in landing/ for each flow with `on_arrival`."""

    def __init__(self) -> None:
        self._held: dict[str, Waiting] = {}

    def ready(self, project: Project, now: float) -> Iterator[tuple[Flow, Waiting]]:
        """The flows whose files have been the same for as long as `on_arrival` says, and were not tried yet."""
        found = scan(project.settings.landing, project.graph.sources.values()).by_source
        for name, flow in project.flows.items():
            if flow.spec.on_arrival is None:
                continue
            sources = [source.name for table, source in project.graph.sources.items() if table in flow.tables]
            files = tuple(file for source in sources for file in found.get(source, ()))
            held = self._held.setdefault(name, Waiting())
            if files != held.files:
                self._held[name] = Waiting(files, now)
            elif files and not held.tried and now - held.since >= flow.spec.on_arrival:
                yield flow, held
