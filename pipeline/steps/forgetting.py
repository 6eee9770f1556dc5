"""Change sets are kept as long as somebody may ask for them."""

from __future__ import annotations

from pipeline.project.project import Project
from pipeline.steps.publish import last_publication
from pipeline.warehouse.changes import forget
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import table_inputs


def forget_changes(project: Project, database: Database) -> None:
    """Forget what changed up to the versions that every reader of a table has taken in."""
    if database.value("SELECT count(*) FROM ledger.changes"):
        forget(database, _floors(project, database))


def _floors(project: Project, database: Database) -> dict[str, int]:
    """For each table, the version up to which nobody will ask what changed."""
    graph, inputs, last = project.graph, table_inputs(database), last_publication(database)
    published = last["tables"] if last else {}
    floors: dict[str, int] = {}
    for name in (*graph.sources, *graph.models):
        asked = [
            inputs.get(other, {}).get(name, 0)
            for other in graph.readers(name)
            if graph.models[other].header.kind == "incremental"
        ]
        if name.startswith("gold."):
            asked.append(published.get(name, 0))
        if asked:
            floors[name] = min(asked)
    return floors
