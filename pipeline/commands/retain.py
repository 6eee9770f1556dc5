"""What `goldfeed retain` does."""

from __future__ import annotations

from dataclasses import asdict

from pipeline import show
from pipeline.clock import Clock
from pipeline.commands.base import writing
from pipeline.project.project import Project
from pipeline.steps.context import Run
from pipeline.steps.retain import retain as let_go


def retain(project: Project, *, dry_run: bool, json_out: bool) -> None:
    """Let go what retention: says, or say what that would be."""
    clock = Clock()
    with writing(project) as database:
        found = let_go(Run(0, clock.now(), project, database, clock), dry=dry_run)
    if json_out:
        show.print_json({"dry_run": dry_run, "removed": [asdict(row) for row in found]})
    elif not project.retention.removes:
        show.out().print("goldfeed.yml has no retention: everything is kept but old versions.")
    else:
        names = ("layer", "table", "would go" if dry_run else "went", "")
        rows = [(row.layer, row.table, row.removed, row.note) for row in found]
        show.out().print(show.table(None, names, rows))
